/* tests/fuzz/fuzz_query.c - any query string, read as the API reads it.
 *
 * Input: room for a value (1 byte), a parameter's name, line feed, the query.
 */
#include <errno.h>

#include "http/http_internal.h"
#include "tests/fuzz/fuzz.h"

/* The value encoded again and read under the same name is the same value. */
static void check_round_trip(struct pc_request *request, const char *value, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	char *query = malloc(2 + 3 * size + 1);
	char *out = malloc(size + 1);
	fuzz_assert(query != NULL && out != NULL);
	size_t used = 0;
	query[used++] = 'q';
	query[used++] = '=';
	for (size_t i = 0; i < size; i++) {
		const uint8_t c = (uint8_t)value[i];
		query[used++] = '%';
		query[used++] = hex[c >> 4];
		query[used++] = hex[c & 15];
	}
	query[used] = '\0';
	request->query = query;
	fuzz_assert(pc_request_query(request, "q", out, size + 1) == (int)size);
	fuzz_assert(memcmp(out, value, size) == 0);
	fuzz_assert(pc_request_query(request, "q", out, size) == -EINVAL);
	free(query);
	free(out);
}

static void check_int(struct pc_request *request, const char *name)
{
	int64_t value = 77;
	int r = pc_request_query_int(request, name, -5, 500, &value);
	fuzz_assert(r == 0 ? value >= -5 && value <= 500 : value == 77);
	fuzz_assert(r == 0 || r == -ENOENT || r == -EINVAL);
	value = 77;
	r = pc_request_query_int(request, name, INT64_MIN, INT64_MAX, &value);
	fuzz_assert(r == 0 || value == 77);
}

static void check_id(struct pc_request *request, const char *text)
{
	request->n_params = 1;
	snprintf(request->params[0], sizeof(request->params[0]), "%s", text);
	int64_t id = -7;
	fuzz_assert(pc_request_id(request, 0, &id) == 0 ? id > 0 : id == -7);
	fuzz_assert(pc_request_id(request, 1, &id) == -EINVAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pc_request request;
	struct fuzz_input input = fuzz_begin(data, size);
	const size_t room = fuzz_number(&input, 1);
	char *name = fuzz_text(&input, '\n');
	char *query = fuzz_text(&input, '\0');
	char *out = malloc(room > 0 ? room : 1);
	fuzz_assert(out != NULL);

	request.query = query;
	const int r = pc_request_query(&request, name, out, room);
	fuzz_assert(r >= 0 || r == -ENOENT || r == -EINVAL);
	check_int(&request, name);
	if (r >= 0) {
		fuzz_assert((size_t)r < room && strlen(out) == (size_t)r);
		check_round_trip(&request, out, (size_t)r);
	}
	check_id(&request, query);
	free(out);
	free(name);
	free(query);
	return 0;
}
