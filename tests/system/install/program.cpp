// As program.c, in C++: handles live in unique_ptr, and failures are exceptions.
#include <cellar/cellar.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

template <typename T, void (*Free)(T *)> struct Deleter {
    void operator()(T *object) const { Free(object); }
};
template <typename T, void (*Free)(T *)> using Handle = std::unique_ptr<T, Deleter<T, Free>>;

using Client = Handle<cellar_client, cellar_client_close>;
using Schema = Handle<cellar_schema, cellar_schema_free>;
using Mutations = Handle<cellar_mutations, cellar_mutations_free>;
using Rows = Handle<cellar_rows, cellar_rows_free>;

void check(cellar_code code, const cellar_call &call)
{
    if (code != CELLAR_E_OK) {
        throw std::runtime_error(std::string(call.failure.where) + ": " + call.failure.text);
    }
}

Client client_open(cellar_call &call)
{
    cellar_options options{};
    cellar_client *client = nullptr;
    options.endpoint = std::getenv("CELLAR_ENDPOINT");
    check(cellar_client_open(&options, &call, &client), call);
    return Client(client);
}

std::string write_and_read(cellar_client *client, const char *table, cellar_call &call)
{
    Schema schema(cellar_schema_new());
    Mutations list(cellar_mutations_new());
    cellar_rows *rows = nullptr;
    cellar_schema_family(schema.get(), "f", nullptr);
    check(cellar_table_create(client, table, schema.get(), &call, nullptr), call);
    cellar_mutations_set(list.get(), "f", cellar_text("q"), cellar_text("written in C++"));
    check(cellar_mutate_row(client, table, cellar_text("row"), list.get(), &call), call);
    check(cellar_get_row(client, table, cellar_text("row"), &call, &rows), call);
    Rows owned(rows);
    const cellar_view value = cellar_rows_at(rows, 0)->cells[0].value;
    return std::string(reinterpret_cast<const char *>(value.data), value.bytes);
}

} // namespace

int main(int argument_count, char **arguments)
{
    cellar_call call{};
    call.timeout_us = 60000000;
    if (argument_count != 2) {
        return 100;
    }
    try {
        Client client = client_open(call);
        std::printf("%s\n", write_and_read(client.get(), arguments[1], call).c_str());
    } catch (const std::exception &failure) {
        std::fprintf(stderr, "%s\n", failure.what());
        return 1;
    }
    return 0;
}
