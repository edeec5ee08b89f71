/* hwaccel/scaler.c - chooses a scaler by trying, and checks what goes into it. */
#define PC_LOG_MODULE "scaler"
#include "hwaccel/scaler.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "hwaccel/scaler_internal.h"

#define WIDTH_STEP 32u
#define HEIGHT_MIN 32u
#define SIDE_MAX 8192u
#define BUFFERS_MAX 32

/* The better one first. */
static const struct pc_scaler_impl *const members[] = {
	&pc_scaler_v4l2,
	&pc_scaler_gles,
	&pc_scaler_soft,
};
#define N_MEMBERS (sizeof(members) / sizeof(members[0]))

void pc_scaler_fit(const struct pc_frame_format *input, unsigned width, unsigned *ret_width,
	unsigned *ret_height)
{
	assert(input->width > 0 && input->height > 0);
	unsigned fitted = (width + WIDTH_STEP / 2) / WIDTH_STEP * WIDTH_STEP;
	fitted = fitted < WIDTH_STEP ? WIDTH_STEP : fitted > SIDE_MAX ? SIDE_MAX : fitted;
	const uint64_t twice_area = 2 * (uint64_t)fitted * input->height;
	uint64_t height = (twice_area + 2 * (uint64_t)input->width) / (4 * (uint64_t)input->width);
	height *= 2; /* the nearest even one */
	*ret_width = fitted;
	*ret_height = height < HEIGHT_MIN ? HEIGHT_MIN
		      : height > SIDE_MAX ? SIDE_MAX
					  : (unsigned)height;
}

static int check(const struct pc_scaler_config *config, char *why, size_t why_size)
{
	if (config->width < WIDTH_STEP || config->width % WIDTH_STEP != 0 ||
		config->width > SIDE_MAX || config->height == 0 || config->height > SIDE_MAX) {
		snprintf(why, why_size, "the width must be a multiple of %u, the sides at most %u",
			WIDTH_STEP, SIDE_MAX);
		return -EINVAL;
	}
	if (config->buffers < 2 || config->buffers > BUFFERS_MAX) {
		snprintf(why, why_size, "%u buffers are not within 2..%d", config->buffers,
			BUFFERS_MAX);
		return -EINVAL;
	}
	return 0;
}

static void append(char *text, size_t size, const char *name, const char *why)
{
	const size_t used = strlen(text);
	snprintf(text + used, size - used, "%s%s%s%s", used > 0 ? "; " : "", name,
		name[0] != '\0' ? ": " : "", why);
}

static int open_member(struct pc_loop *loop, const struct pc_scaler_config *config,
	const struct pc_scaler_events *events, void *data, char *why, size_t why_size,
	struct pc_scaler **ret_scaler)
{
	const bool any = strcmp(config->choice, "auto") == 0;
	bool known = false;
	int r = -EINVAL;
	for (size_t i = 0; i < N_MEMBERS; i++) {
		if (!any && strcmp(config->choice, members[i]->name) != 0) {
			continue;
		}
		known = true;
		char reason[256] = "";
		r = members[i]->open(
			loop, config, events, data, reason, sizeof(reason), ret_scaler);
		if (r == 0) {
			if (reason[0] != '\0') {
				append(why, why_size, "", reason);
			}
			return 0;
		}
		append(why, why_size, members[i]->name,
			reason[0] != '\0' ? reason : pc_strerror(r));
	}
	if (!known) {
		append(why, why_size, config->choice, "there is no such scaler here; there are");
		for (size_t i = 0; i < N_MEMBERS; i++) {
			const size_t used = strlen(why);
			snprintf(why + used, why_size - used, " %s", members[i]->name);
		}
	}
	return r;
}

int pc_scaler_open(struct pc_loop *loop, const struct pc_scaler_config *config,
	const struct pc_scaler_events *events, void *data, struct pc_scaler **ret_scaler)
{
	assert(events->scaled != NULL && events->failed != NULL && config->choice != NULL);
	char input[PC_FRAME_FORMAT_TEXT];
	pc_frame_format_text(&config->input, input);
	char why[512] = "";
	struct pc_scaler *scaler = NULL;
	int r = check(config, why, sizeof(why));
	if (r == 0) {
		r = open_member(loop, config, events, data, why, sizeof(why), &scaler);
	}
	if (r < 0) {
		pc_error("no scaler from %s to %ux%u: %s", input, config->width, config->height,
			why);
		return r;
	}
	pc_info("%s from %s to %ux%u%s%s%s", scaler->impl->device(scaler), input, config->width,
		config->height, why[0] != '\0' ? " (" : "", why, why[0] != '\0' ? ")" : "");
	*ret_scaler = scaler;
	return 0;
}

unsigned pc_scaler_inputs(const char *choice, const char *device, unsigned width, unsigned height,
	struct pc_input_format *formats, unsigned max, bool *ret_dmabuf)
{
	const bool any = strcmp(choice, "auto") == 0;
	for (size_t i = 0; i < N_MEMBERS; i++) {
		if (!any && strcmp(choice, members[i]->name) != 0) {
			continue;
		}
		const unsigned n =
			members[i]->inputs(device, width, height, formats, max, ret_dmabuf);
		if (n > 0) {
			return n;
		}
	}
	return 0;
}

int pc_scaler_submit(struct pc_scaler *scaler, struct pc_frame *frame)
{
	return scaler->impl->submit(scaler, frame);
}

int64_t pc_scaler_owed_ns(const struct pc_scaler *scaler)
{
	return scaler->impl->owed_ns(scaler);
}

const char *pc_scaler_name(const struct pc_scaler *scaler)
{
	return scaler->impl->device(scaler);
}

void pc_scaler_close(struct pc_scaler *scaler)
{
	if (scaler != NULL) {
		scaler->impl->close(scaler);
	}
}
