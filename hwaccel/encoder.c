/* hwaccel/encoder.c - chooses an encoder by trying, and checks what goes into it. */
#define PC_LOG_MODULE "encoder"
#include "hwaccel/encoder.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "hwaccel/encoder_internal.h"

#define SIDE_MIN 16
#define SIDE_MAX 8192
#define FPS_MAX 1000.0
#define BITRATE_MAX_KBPS 200000u

/* The better one first. */
static const struct pc_encoder_impl *const members[] = {
	&pc_encoder_v4l2,
	&pc_encoder_libav,
};
#define N_MEMBERS (sizeof(members) / sizeof(members[0]))

static int check(const struct pc_encoder_config *config, char *why, size_t why_size)
{
	const struct pc_frame_format *format = &config->format;
	if (format->width < SIDE_MIN || format->height < SIDE_MIN || format->width > SIDE_MAX ||
		format->height > SIDE_MAX || format->width % 2 != 0 || format->height % 2 != 0) {
		snprintf(why, why_size, "a picture must have even sides of %d to %d", SIDE_MIN,
			SIDE_MAX);
		return -EINVAL;
	}
	if (!isfinite(config->fps) || config->fps <= 0 || config->fps > FPS_MAX) {
		snprintf(why, why_size, "%g frames a second is not possible", config->fps);
		return -EINVAL;
	}
	if (config->key_interval == 0 || config->bitrate_kbps > BITRATE_MAX_KBPS) {
		snprintf(why, why_size, "key interval %u, %u kbit/s is not possible",
			config->key_interval, config->bitrate_kbps);
		return -EINVAL;
	}
	return 0;
}

/* Adds "; NAME: WHY" to what is there. */
static void append(char *text, size_t size, const char *name, const char *why)
{
	const size_t used = strlen(text);
	if (name != NULL) {
		snprintf(text + used, size - used, "%s%s: %s", used > 0 ? "; " : "", name, why);
	} else {
		snprintf(text + used, size - used, "%s%s", used > 0 ? "; " : "", why);
	}
}

static int open_member(struct pc_loop *loop, const struct pc_encoder_config *config,
	const struct pc_encoder_events *events, void *data, char *why, size_t why_size,
	struct pc_encoder **ret_encoder)
{
	const bool any = strcmp(config->choice, "auto") == 0;
	int r = -EINVAL;
	bool known = false;
	for (size_t i = 0; i < N_MEMBERS; i++) {
		if (!any && strcmp(config->choice, members[i]->name) != 0) {
			continue;
		}
		known = true;
		char reason[256] = "";
		r = members[i]->open(
			loop, config, events, data, reason, sizeof(reason), ret_encoder);
		if (r == 0) {
			if (reason[0] != '\0') {
				append(why, why_size, NULL, reason);
			}
			return 0;
		}
		append(why, why_size, members[i]->name,
			reason[0] != '\0' ? reason : pc_strerror(r));
	}
	if (!known) {
		append(why, why_size, config->choice, "there is no such encoder here; there are");
		for (size_t i = 0; i < N_MEMBERS; i++) {
			const size_t used = strlen(why);
			snprintf(why + used, why_size - used, " %s", members[i]->name);
		}
	}
	return r;
}

int pc_encoder_open(struct pc_loop *loop, const struct pc_encoder_config *config,
	const struct pc_encoder_events *events, void *data, struct pc_encoder **ret_encoder)
{
	assert(events->packet != NULL && events->failed != NULL);
	assert(config->choice != NULL && config->preset != NULL);
	char format[PC_FRAME_FORMAT_TEXT];
	pc_frame_format_text(&config->format, format);
	char why[512] = "";
	struct pc_encoder *encoder = NULL;
	int r = check(config, why, sizeof(why));
	if (r == 0) {
		r = open_member(loop, config, events, data, why, sizeof(why), &encoder);
	}
	if (r < 0) {
		pc_error("no encoder for %s: %s", format, why);
		return r;
	}
	char rate[32] = "lossless";
	if (config->bitrate_kbps > 0) {
		snprintf(rate, sizeof(rate), "%u kbit/s", config->bitrate_kbps);
	}
	pc_info("%s for %s at %.5g fps, %s%s%s%s", encoder->impl->device(encoder), format,
		config->fps, rate, why[0] != '\0' ? " (" : "", why, why[0] != '\0' ? ")" : "");
	*ret_encoder = encoder;
	return 0;
}

unsigned pc_encoder_inputs(const char *choice, const char *device, unsigned width, unsigned height,
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

int pc_encoder_submit(struct pc_encoder *encoder, struct pc_frame *frame, unsigned flags)
{
	assert((flags & ~(unsigned)PC_ENCODER_KEY) == 0);
	return encoder->impl->submit(encoder, frame, flags);
}

int pc_encoder_set_bitrate(struct pc_encoder *encoder, unsigned bitrate_kbps)
{
	if (encoder->impl->set_bitrate == NULL || bitrate_kbps > BITRATE_MAX_KBPS) {
		return -ENOTSUP;
	}
	return encoder->impl->set_bitrate(encoder, bitrate_kbps);
}

const char *pc_encoder_name(const struct pc_encoder *encoder)
{
	return encoder->impl->device(encoder);
}

int64_t pc_encoder_owed_ns(const struct pc_encoder *encoder)
{
	return encoder->impl->owed_ns(encoder);
}

void pc_encoder_close(struct pc_encoder *encoder)
{
	if (encoder != NULL) {
		encoder->impl->close(encoder);
	}
}
