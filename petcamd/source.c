/* petcamd/source.c - which kind of source a setting means. */
#include "petcamd/source.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "petcamd/source_internal.h"

/* "auto" is the first of them that is there. */
static const struct pc_source_impl *const members[] = {
	&pc_source_v4l2,
	&pc_source_file,
	&pc_source_demo,
};
#define N_MEMBERS (sizeof(members) / sizeof(members[0]))

const char *pc_source_resolve(const char *source)
{
	if (strcmp(source, "auto") != 0) {
		return source;
	}
	for (size_t i = 0; i < N_MEMBERS; i++) {
		if (members[i]->is_there != NULL && members[i]->is_there()) {
			return members[i]->scheme;
		}
	}
	return pc_source_demo.scheme;
}

/* The member that `source` names, and what stands behind its colon. */
static const struct pc_source_impl *find(const char *source, const char **ret_argument)
{
	const size_t length = strcspn(source, ":");
	for (size_t i = 0; i < N_MEMBERS; i++) {
		const char *scheme = members[i]->scheme;
		if (strlen(scheme) == length && strncmp(scheme, source, length) == 0) {
			*ret_argument = source[length] == ':' ? source + length + 1 : "";
			return members[i];
		}
	}
	return NULL;
}

bool pc_source_draws(const char *source)
{
	const char *argument = "";
	const struct pc_source_impl *impl = find(source, &argument);
	return impl == NULL || impl->draws;
}

int pc_source_open(struct pc_loop *loop, const struct pc_source_config *config,
	const struct pc_source_events *events, void *data, char *why, size_t why_size,
	struct pc_source **ret_source)
{
	assert(events->frame != NULL && events->ended != NULL && events->failed != NULL);
	const char *argument = "";
	const struct pc_source_impl *impl = find(pc_source_resolve(config->source), &argument);
	if (impl == NULL) {
		snprintf(why, why_size, "source \"%s\" is of no known kind: use auto",
			config->source);
		for (size_t i = 0; i < N_MEMBERS; i++) {
			const size_t used = strlen(why);
			snprintf(why + used, why_size - used, "%s%s%s",
				i + 1 < N_MEMBERS ? ", " : " or ", members[i]->scheme,
				members[i] == &pc_source_file ? ":PATH" : "");
		}
		return -EINVAL;
	}
	assert(!impl->draws || config->allocator != NULL);
	return impl->open(loop, config, argument, events, data, why, why_size, ret_source);
}

const struct pc_source_info *pc_source_info(const struct pc_source *source)
{
	return &source->info;
}

void pc_source_close(struct pc_source *source)
{
	if (source != NULL) {
		source->impl->close(source);
	}
}
