// SPDX-License-Identifier: GPL-2.0
/*
 * params.c - the habits of the hardware, switched on one by one; counters
 *
 * All that is 0644 may be written at any time and acts from the next frame (or buffer, or
 * open file) on. What each imitates is said at the top of main.c.
 */
#include <linux/moduleparam.h>
#include <linux/string.h>

#include "vpicodec.h"

struct vpi_params vpi_params = {
	.sequence_stuck = true,
	.encode_video_nr = 11,
	.isp_video_nr = 12,
};

atomic_t vpi_stall_generation[VPI_NROLES];
atomic_t vpi_counters[VPI_N_COUNTERS];

module_param_named(encode_video_nr, vpi_params.encode_video_nr, int, 0444);
module_param_named(isp_video_nr, vpi_params.isp_video_nr, int, 0444);
module_param_named(use_vmalloc, vpi_params.use_vmalloc, bool, 0444);

#define HABIT(prefix, role, name) \
	module_param_named(prefix##name, vpi_params.habits[role].name, uint, 0644)
#define HABITS(prefix, role)			\
	HABIT(prefix, role, latency_us);	\
	HABIT(prefix, role, jitter_us);		\
	HABIT(prefix, role, late_us);		\
	HABIT(prefix, role, late_output);	\
	HABIT(prefix, role, depth);		\
	HABIT(prefix, role, abort_every);	\
	HABIT(prefix, role, fail_every);	\
	HABIT(prefix, role, stall_after)

HABITS(, VPI_ENC);
HABITS(isp_, VPI_ISP);

module_param_named(isp_nearest, vpi_params.isp_nearest, bool, 0644);
module_param_named(headers_alone, vpi_params.headers_alone, uint, 0644);
module_param_named(junk_first, vpi_params.junk_first, bool, 0644);
module_param_named(drain_lost, vpi_params.drain_lost, uint, 0644);
module_param_named(sequence_stuck, vpi_params.sequence_stuck, bool, 0644);
module_param_named(sizeimage, vpi_params.sizeimage, uint, 0644);
module_param_named(stride_align, vpi_params.stride_align, uint, 0644);
module_param_named(rate_mode, vpi_params.rate_mode, bool, 0644);
module_param_named(old_names, vpi_params.old_names, bool, 0644);
module_param_named(refuse_how, vpi_params.refuse_how, uint, 0644);

static atomic_t sticky;

bool vpi_take_sticky(void)
{
	return atomic_dec_if_positive(&sticky) >= 0;
}

static int set_sticky(const char *val, const struct kernel_param *kp)
{
	unsigned int n;
	int ret = kstrtouint(val, 0, &n);

	if (!ret)
		atomic_set(&sticky, min(n, 1000000u));
	return ret;
}

static int get_atomic(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%d\n", atomic_read((atomic_t *)kp->arg));
}

static const struct kernel_param_ops sticky_ops = { .set = set_sticky, .get = get_atomic };
module_param_cb(stall_sticky, &sticky_ops, &sticky, 0644);

/* Writing stalls whatever is open now; reading tells how often that was done. */
static int set_stall(const char *val, const struct kernel_param *kp)
{
	bool on;
	int ret = kstrtobool(val, &on);

	if (!ret && on)
		atomic_inc((atomic_t *)kp->arg);
	return ret;
}

static const struct kernel_param_ops stall_ops = { .set = set_stall, .get = get_atomic };
module_param_cb(stall, &stall_ops, &vpi_stall_generation[VPI_ENC], 0644);
module_param_cb(isp_stall, &stall_ops, &vpi_stall_generation[VPI_ISP], 0644);

static int set_refuse(const char *val, const struct kernel_param *kp)
{
	unsigned int w, h;

	if (sscanf(val, "%ux%u", &w, &h) == 2 && w <= VPI_MAX_SIZE && h <= VPI_MAX_SIZE)
		WRITE_ONCE(vpi_params.refuse, w << 16 | h);
	else if (sysfs_streq(val, "") || sysfs_streq(val, "none") || sysfs_streq(val, "0"))
		WRITE_ONCE(vpi_params.refuse, 0);
	else
		return -EINVAL;
	return 0;
}

static int get_refuse(char *buf, const struct kernel_param *kp)
{
	u32 v = READ_ONCE(vpi_params.refuse);

	return v ? sysfs_emit(buf, "%ux%u\n", v >> 16, v & 0xffff) : sysfs_emit(buf, "none\n");
}

static const struct kernel_param_ops refuse_ops = { .set = set_refuse, .get = get_refuse };
module_param_cb(refuse, &refuse_ops, NULL, 0644);

static int set_oversize(const char *val, const struct kernel_param *kp)
{
	if (sysfs_streq(val, "error"))
		WRITE_ONCE(vpi_params.oversize_error, true);
	else if (sysfs_streq(val, "fragment"))
		WRITE_ONCE(vpi_params.oversize_error, false);
	else
		return -EINVAL;
	return 0;
}

static int get_oversize(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%s\n", vpi_params.oversize_error ? "error" : "fragment");
}

static const struct kernel_param_ops oversize_ops = { .set = set_oversize, .get = get_oversize };
module_param_cb(oversize, &oversize_ops, NULL, 0644);

static const struct kernel_param_ops counter_ops = { .get = get_atomic };

#define COUNTER(name, which) module_param_cb(name, &counter_ops, &vpi_counters[which], 0444)
COUNTER(n_opens, VPI_N_OPENS);
COUNTER(n_frames, VPI_N_FRAMES);
COUNTER(n_coded, VPI_N_CODED);
COUNTER(n_keys, VPI_N_KEYS);
COUNTER(n_aborted, VPI_N_ABORTED);
COUNTER(n_errors, VPI_N_ERRORS);
COUNTER(n_junk, VPI_N_JUNK);
COUNTER(n_headers, VPI_N_HEADERS);
COUNTER(n_fragments, VPI_N_FRAGMENTS);
COUNTER(n_lost, VPI_N_LOST);
COUNTER(n_stalls, VPI_N_STALLS);
COUNTER(n_imports, VPI_N_IMPORTS);
COUNTER(n_scaled, VPI_N_SCALED);
COUNTER(live_contexts, VPI_LIVE_CONTEXTS);
COUNTER(live_buffers, VPI_LIVE_BUFFERS);
COUNTER(live_imports, VPI_LIVE_IMPORTS);
