#!/usr/bin/env python3
"""Writes the golden files of this folder from FORMAT.md alone, without any code of the server.

    tests/conformance/golden/storage/make.py

golden_storage_test.c compares what the server encodes with them. A change of a format changes this file, FORMAT.md and
the golden files together.
"""
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


LOG_ID = bytes(range(0x10, 0x20))
INCARNATION = 0x1122334455667788


def segment_header():
    body = b"CELLARLG" + struct.pack("<II", 1, 512) + LOG_ID
    body += struct.pack("<6Q", 3, INCARNATION, 0x8877665544332211, 101, 57, 65536)
    body += bytes(508 - len(body))
    return body + struct.pack("<I", crc32c(body))


def item(kind, family, generation, qualifier, start, end, value):
    head = struct.pack("<BBHIIIQQ", kind, len(family), len(qualifier), len(value), generation, 0,
                       start, end)
    return head + family + qualifier + value


def mutation():
    row = b"row\x00\xff"
    items = [item(2, b"g", 1, b"", 0, 0, b""), item(3, b"cf", 2, b"q", 1000, 5000, b""),
             item(4, b"cf", 1, b"", 7000, 0, b"value")]
    head = struct.pack("<BBHIQII", 1, 0, len(row), 4, 9000, len(items), 0)
    return head + row + b"".join(items)


def record(kind, store, lsn, payload, offset):
    rest = struct.pack("<IQIB3x", len(payload), lsn, store, kind) + payload
    bound = struct.pack("<QQ", INCARNATION, offset)
    return struct.pack("<I", crc32c(bound + rest)) + rest


def group():
    offset = 1024
    records = record(1, 7, 101, mutation(), offset + 40)
    records += record(6, 0, 102, b"", offset + 40 + len(records))
    head = b"CGRP" + struct.pack("<IQQI", 40 + len(records), 101, 100, 2) + bytes(8)
    bound = struct.pack("<QQ", INCARNATION, offset)
    return head + struct.pack("<I", crc32c(bound + head)) + records


def escaped(data):
    return data.replace(b"\x00", b"\x00\xff") + b"\x00\x01"


def position():
    timestamp = struct.pack(">Q", ~7000 & 0xFFFFFFFFFFFFFFFF)
    return (escaped(b"row\x00\xff") + b"cf" + b"\x00" + struct.pack(">I", 2) + escaped(b"q\x00") +
            timestamp)


def segment():
    cells = b"\xdc" + struct.pack(">H", 12)
    cells += b"\xa2cf" + b"\xc4\x01q" + b"\xcd\x1b\x58" + b"\xc4\x02v1"      # cf:q @7000
    cells += b"\xc0" + b"\xc0" + b"\xcd\x03\xe8" + b"\xc4\x00"                # same column @1000
    cells += b"\xc4\x06g\x00\x00\x00\x00\x03" + b"\xc4\x00" + b"\x00" + b"\xc4\x01x"
    return struct.pack("<BBHQ", 1, 3, 3, 0) + cells


def blob_file():
    value = b"a large value"
    crc = crc32c(struct.pack("<QQ", 9, 0) + value)
    reference = struct.pack("<QQI", 9, len(value), crc32c(struct.pack("<I", crc)))
    head = b"CELLARBL" + struct.pack("<II", 1, 262144) + LOG_ID + reference + bytes(8)
    return head + struct.pack("<I", crc32c(head)) + value + struct.pack("<I", crc)


def blob_segment():
    reference = blob_file()[32:52]
    cells = b"\xdc" + struct.pack(">H", 4) + b"\xa1f" + b"\xc4\x01q" + b"\x07" + b"\xc7\x14\x01" + reference
    return struct.pack("<BBHQ", 1, 6, 1, 7) + cells


def blob_item():
    return item(5, b"f", 1, b"q", 7, 0, blob_file()[32:52])


def catalog():
    return struct.pack("<III", 1, 1, len(mutation())) + mutation()


def range_drop():
    return struct.pack("<BBHHH", 1, 0, 3, 2, 0) + b"a\x00b" + b"c\xff"


def pending():
    ranges = [(escaped(b"a\x00b"), escaped(b"c")), (escaped(b"d"), b"")]
    rest = struct.pack("<I", len(ranges))
    for start, end in ranges:
        rest += struct.pack("<II", len(start), len(end)) + start + end
    return struct.pack("<I", crc32c(b"pending" + rest)) + rest


def main():
    for name, data in (("segment_header", segment_header()), ("mutation", mutation()),
                       ("group", group()), ("position", position()), ("segment", segment()),
                       ("catalog", catalog()), ("range_drop", range_drop()), ("pending", pending()),
                       ("blob_file", blob_file()), ("blob_segment", blob_segment()), ("blob_item", blob_item())):
        with open(os.path.join(HERE, name + ".hex"), "w", encoding="ascii") as file:
            text = data.hex()
            for start in range(0, len(text), 64):
                file.write(text[start:start + 64] + "\n")


main()
