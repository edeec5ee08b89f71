/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vpicodec.h - what the files of the virtual codec share
 */
#ifndef VPICODEC_H
#define VPICODEC_H

#include <linux/atomic.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <media/media-device.h>
#include <media/v4l2-ctrls.h>
#include <media/v4l2-device.h>
#include <media/v4l2-event.h>
#include <media/v4l2-fh.h>
#include <media/v4l2-mem2mem.h>

#define VPI_NAME	"vpicodec"
#define VPI_MIN_SIZE	32
#define VPI_MAX_SIZE	1920
#define VPI_MAX_CODED	(4 << 20)

enum vpi_role { VPI_ENC, VPI_ISP, VPI_NROLES };

struct vpi_fmt {
	u32 fourcc;
	u8 bpp;			/* bits a pixel, of the whole image; 0: coded */
	u16 align;		/* of a line, bytes: those of the Pi's encode role */
};

/* The format of one queue of one open file. */
struct vpi_qdata {
	const struct vpi_fmt *fmt;
	u32 w, h;
	u32 bpl;		/* 0: coded */
	u32 size;
	u32 sequence;
};

struct vpi_node {
	struct video_device vfd;
	struct v4l2_m2m_dev *m2m;
	struct mutex lock;	/* ioctls, both queues and the list of files */
	struct list_head files;	/* vpi_ctx.entry */
	enum vpi_role role;
	bool gone;		/* the device was unbound */
};

struct vpi_dev {
	struct v4l2_device v4l2;
	struct media_device mdev;
	struct device *dev;
	struct vpi_node node[VPI_NROLES];
};

/* State of the H.264 writer: job context only, between STREAMON and STREAMOFF. */
struct vpi_h264 {
	u8 *cur, *ref;		/* this picture and the last one: planar, whole macroblocks */
	u8 *kind;		/* rate_mode: of each macroblock of this frame */
	u8 *bits;		/* the access unit */
	u32 bits_size;
	u32 mbw, mbh;
	u32 since_idr, frame_num, idr_id, rotate;
	bool headers_sent;
};

/* One frame whose buffers the device still holds; input or output may be NULL. */
struct vpi_held {
	struct list_head entry;
	struct vb2_v4l2_buffer *src, *dst;
	enum vb2_buffer_state dst_state;
	u64 number;		/* of the frame in this stream */
	unsigned long src_due, dst_due;	/* jiffies */
};

#define VPI_MAX_HELD	64

struct vpi_ctx {
	struct v4l2_fh fh;
	struct vpi_dev *dev;
	struct vpi_node *node;
	struct list_head entry;
	u32 id;			/* counts opens, for the `contexts` attribute */

	struct v4l2_ctrl_handler ctrls;
	struct v4l2_ctrl *gop, *repeat, *profile, *level, *bitrate, *header_mode;
	struct vpi_qdata src, dst;
	struct v4l2_fract tpf;
	u32 colorspace, ycbcr, quant, xfer;

	struct work_struct work;
	struct delayed_work pump;	/* lets held buffers go when nothing pushes them */
	atomic_t force_key;
	atomic_t abort_wait;		/* STREAMOFF waits: cut the pretended hardware time */

	/* Job context only. */
	struct vpi_h264 h264;
	u32 *acc;			/* isp: a line of sums */
	u64 frames;			/* of this stream, aborted ones too */
	u64 coded_frames;
	bool junk_sent;
	u32 unit_size, unit_done;	/* access unit that is being delivered, in pieces */
	u32 head_size;			/* its headers, to be delivered alone; 0: joined */
	bool unit_key;

	/*
	 * Lock of what follows and of everything that touches the drain state: held frames,
	 * the last buffer, the STOP command. Taken inside node->lock.
	 */
	spinlock_t lock;
	struct list_head held, spare;
	struct vpi_held pool[VPI_MAX_HELD];
	u64 newest;			/* number of the last frame taken */
	bool streaming;			/* OUTPUT queue */
	bool silent;			/* stalled for good */
	bool sticky_asked;
	u32 stall_generation;		/* vpi_stall_generation at open */

	atomic_t n_frames, n_coded, n_aborted, n_imports, n_buffers;
};

static inline struct vpi_ctx *vpi_file_ctx(struct file *file)
{
	return container_of(file->private_data, struct vpi_ctx, fh);
}

static inline struct vpi_qdata *vpi_qdata(struct vpi_ctx *ctx, u32 type)
{
	return V4L2_TYPE_IS_OUTPUT(type) ? &ctx->src : &ctx->dst;
}

/* params.c: habits of the hardware, and counters. */
struct vpi_habits {
	unsigned int latency_us, jitter_us, late_us, depth, late_output;
	unsigned int abort_every, fail_every, stall_after;
};

struct vpi_params {
	struct vpi_habits habits[VPI_NROLES];
	unsigned int headers_alone, drain_lost, sizeimage, stride_align;
	unsigned int refuse_how;
	bool junk_first, oversize_error, sequence_stuck, rate_mode, isp_nearest, old_names;
	bool use_vmalloc;
	int encode_video_nr, isp_video_nr;
	u32 refuse;		/* width << 16 | height; 0: none */
};

extern struct vpi_params vpi_params;
extern atomic_t vpi_stall_generation[VPI_NROLES];

enum vpi_counter {
	VPI_N_OPENS,
	VPI_N_FRAMES,		/* inputs that the device took */
	VPI_N_CODED,		/* frames that came out, whole */
	VPI_N_KEYS,
	VPI_N_ABORTED,
	VPI_N_ERRORS,
	VPI_N_JUNK,
	VPI_N_HEADERS,
	VPI_N_FRAGMENTS,
	VPI_N_LOST,		/* drain_lost */
	VPI_N_STALLS,
	VPI_N_IMPORTS,		/* dma-bufs attached and mapped for the device */
	VPI_N_SCALED,
	VPI_LIVE_CONTEXTS,
	VPI_LIVE_BUFFERS,	/* allocated or imported, and not yet let go */
	VPI_LIVE_IMPORTS,
	VPI_N_COUNTERS
};

extern atomic_t vpi_counters[VPI_N_COUNTERS];

static inline void vpi_count(enum vpi_counter c)
{
	atomic_inc(&vpi_counters[c]);
}

static inline const struct vpi_habits *vpi_habits(const struct vpi_ctx *ctx)
{
	return &vpi_params.habits[ctx->node->role];
}

/* `every`: true for each n-th, never when n is 0. */
static inline bool vpi_nth(u64 count, unsigned int n)
{
	return n && !do_div(count, n);
}

/* ioctl.c */
extern const struct v4l2_ioctl_ops vpi_ioctl_ops;
void vpi_default_formats(struct vpi_ctx *ctx);
int vpi_add_ctrls(struct vpi_ctx *ctx);
long vpi_unlocked_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* queue.c */
extern const struct v4l2_event vpi_eos;
int vpi_queue_init(void *priv, struct vb2_queue *src, struct vb2_queue *dst);

/* job.c */
extern const struct v4l2_m2m_ops vpi_m2m_ops;
void vpi_job_init(struct vpi_ctx *ctx);
void vpi_job_work(struct work_struct *work);
void vpi_pump_work(struct work_struct *work);
int vpi_job_start(struct vpi_ctx *ctx, bool output);
void vpi_job_stop(struct vpi_ctx *ctx, bool output);
void vpi_flush_held(struct vpi_ctx *ctx);
/* True: this open file is one of the `stall_sticky` ones. */
bool vpi_take_sticky(void);
bool vpi_is_silent(struct vpi_ctx *ctx);
void vpi_last_buffer(struct vpi_ctx *ctx);

/* h264.c */
int vpi_h264_start(struct vpi_ctx *ctx);
void vpi_h264_stop(struct vpi_ctx *ctx);
/* One access unit into h264.bits: its bytes, or -ENOSPC; of them *head headers, at the start. */
int vpi_h264_encode(struct vpi_ctx *ctx, const u8 *src, bool *key, u32 *head);

/* isp.c */
int vpi_isp_start(struct vpi_ctx *ctx);
void vpi_isp_stop(struct vpi_ctx *ctx);
void vpi_isp_run(struct vpi_ctx *ctx, const u8 *src, u8 *dst);

#endif
