/*
 * Heads of HTTP requests. Whatever the bytes, a head is understood, refused or waited for; one that
 * is understood lies inside the input; and what is understood is not refused when it comes in
 * pieces.
 */
#include "common/base.h"
#include "server/net/web/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct web_request request;
    struct web_request again;
    size_t head_bytes = 0;
    size_t bytes_again = 0;
    unsigned status = web_request_decode(cellar_slice_make(data, bytes), &request, &head_bytes);
    CELLAR_ASSERT(status == 0 || status == 200 || status == 400 || status == 431 || status == 505);
    CELLAR_ASSERT(status != 0 || bytes < WEB_HEAD_BYTES_MAX);
    if (status != 200) {
        return 0;
    }
    CELLAR_ASSERT(head_bytes > 0 && head_bytes <= bytes && head_bytes <= WEB_HEAD_BYTES_MAX);
    CELLAR_ASSERT(request.path.bytes > 0 && request.path.data[0] == '/');
    CELLAR_ASSERT(
        web_request_decode(cellar_slice_make(data, head_bytes - 1), &again, &bytes_again) == 0);
    CELLAR_ASSERT(web_request_decode(cellar_slice_make(data, head_bytes), &again, &bytes_again) ==
                  200);
    CELLAR_ASSERT(bytes_again == head_bytes && again.has_body == request.has_body);
    return 0;
}
