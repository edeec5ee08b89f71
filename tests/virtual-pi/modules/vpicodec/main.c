// SPDX-License-Identifier: GPL-2.0
/*
 * vpicodec - a stand-in for the Raspberry Pi's M2M media nodes, for tests
 *
 * /dev/video11: stateful H.264 encoder; /dev/video12: scaler and colour converter. Multi-planar
 * with one plane, MMAP and DMABUF of contiguous memory, line alignments, limits and controls
 * like bcm2835-codec's. What is coded decodes to the very bytes that came in (h264.c); what is
 * scaled can be computed (isp.c).
 *
 * It behaves well until it is told not to. The parameters below are files under
 * /sys/module/vpicodec/parameters and act at once; those of the encoder exist for the scaler too,
 * as isp_NAME, where marked [*]. "KC", "US" and "linux#" are the sources named in
 * raspberry-pi.md: the kernel's driver, ustreamer, issues of raspberrypi/linux.
 *
 * Time and order
 *   latency_us [*]	hardware time a frame. The Pi: about 20 ms at 720p (userland#243).
 *   jitter_us [*]	up to so much more, at random.
 *   depth [*]		N: so many inputs are inside at once; an input comes back when N - 1 newer
 *			ones are in, or 100 ms later. (KC device_run: hands on all that it gets.)
 *   late_output [*]	N: an output comes N frames after its input came back. Drain flushes.
 *			Bounded by the client's CAPTURE buffers, less one. (1.5 frames at 1080p30:
 *			OpenHD#406.)
 *   late_us [*]	an output comes so long after its input came back.
 *
 * What goes wrong
 *   abort_every [*]	every Nth frame: input back as done, nothing comes out, and the next frame
 *			is coded as if it had not been there. (linux#6680, rpicam-apps#664; KC
 *			op_buffer_cb.) 1: takes all, gives nothing, for ever.
 *   fail_every [*]	every Nth coded buffer: half of it, with V4L2_BUF_FLAG_ERROR; the frames
 *			after it refer to it. (KC op_buffer_cb: a corrupted buffer.)
 *   stall_after [*]	after so many frames the open file goes silent for good: takes buffers,
 *			says yes to commands, returns nothing until STREAMOFF. (picamera2#1090,
 *			#1392.) A new open works, for as many frames.
 *   stall [*]		write 1: all files open now go silent; later ones work.
 *   stall_sticky	N: so many more open files are silent from their first STREAMON on; counts
 *			down.
 *   junk_first		the first CAPTURE buffer of a stream is 61 random bytes at time stamp 0.
 *			(US m2m.c:585.)
 *   headers_alone	1: SPS and PPS come in a buffer of their own, before their frame and with
 *			its time stamp; 2: with time stamp 0. (linux#6680's thread.) The control
 *			HEADER_MODE separate does the same as 1.
 *   drain_lost		1: frames that are inside when STOP comes are lost, LAST comes; 2: LAST does
 *			not come either. (linux#5059.)
 *   sequence_stuck	buffers are numbered 0 for ever: on by default, as on the Pi (KC never
 *			sets it).
 *
 * What it wants
 *   sizeimage		bytes of a coded buffer, whatever is asked (the Pi's: 524288 up to 720p,
 *			786432 above; linux PR 5232). 0: 400 a macroblock and 64 KiB, or what is
 *			asked if that is more.
 *   oversize		"fragment" (default, as the Pi): a larger frame comes in several buffers of
 *			the same time stamp; "error": one empty buffer with the error flag.
 *   stride_align	lines are multiples of this, if it is more than the format's own
 *			alignment.
 *   refuse, refuse_how	"1280x720", "none": S_FMT and TRY_FMT of the encoder make half of this size
 *			(refuse_how=0), or STREAMON fails with EINVAL (1). (linux#4906: a level
 *			too low gives no output.)
 *
 * Others
 *   rate_mode		1: obey BITRATE, lossily (rate.c); acts at once, as does a change of the
 *			bitrate.
 *   isp_nearest	1: nearest sample instead of the mean of a box.
 *   old_names		1: NV12 is named as Debian 12's v4l2-compliance wants it (ioctl.c).
 *   encode_video_nr, isp_video_nr, use_vmalloc	load time only.
 *
 * Counters, of the life of the module: n_opens, n_frames (inputs taken), n_coded, n_scaled,
 * n_keys, n_aborted, n_errors, n_junk, n_headers, n_fragments, n_lost, n_stalls, n_imports
 * (dma-bufs attached and mapped: once a buffer for a client that keeps its indices); live_contexts,
 * live_buffers, live_imports: 0 when nobody has the nodes open. A line for each open file:
 * /sys/bus/platform/devices/vpicodec/contexts.
 *
 * Hot removal: unbind at /sys/bus/platform/drivers/vpicodec. Open files then get EPOLLHUP and
 * ENODEV; a node bound again while old files are open has another number.
 *
 * Time stamps pass through microseconds, as on the Pi; struct timeval does that by itself.
 */
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <media/v4l2-ioctl.h>

#include "vpicodec.h"

static int vpi_open(struct file *file)
{
	struct video_device *vfd = video_devdata(file);
	struct vpi_node *node = container_of(vfd, struct vpi_node, vfd);
	struct vpi_ctx *ctx;
	int ret;

	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);
	if (!ctx)
		return -ENOMEM;
	ctx->dev = video_drvdata(file);
	ctx->node = node;
	vpi_job_init(ctx);
	v4l2_fh_init(&ctx->fh, vfd);
	file->private_data = &ctx->fh;
	vpi_default_formats(ctx);
	ret = vpi_add_ctrls(ctx);
	if (ret)
		goto fail_ctrls;
	ctx->fh.m2m_ctx = v4l2_m2m_ctx_init(node->m2m, ctx, vpi_queue_init);
	if (IS_ERR(ctx->fh.m2m_ctx)) {
		ret = PTR_ERR(ctx->fh.m2m_ctx);
		goto fail_ctrls;
	}
	v4l2_fh_add(&ctx->fh);
	vpi_count(VPI_N_OPENS);
	vpi_count(VPI_LIVE_CONTEXTS);
	mutex_lock(&node->lock);
	ctx->id = atomic_read(&vpi_counters[VPI_N_OPENS]);
	list_add_tail(&ctx->entry, &node->files);
	mutex_unlock(&node->lock);
	return 0;

fail_ctrls:
	v4l2_ctrl_handler_free(&ctx->ctrls);
	v4l2_fh_exit(&ctx->fh);
	kfree(ctx);
	return ret;
}

static int vpi_release(struct file *file)
{
	struct vpi_ctx *ctx = vpi_file_ctx(file);
	struct vpi_node *node = ctx->node;

	v4l2_fh_del(&ctx->fh);
	mutex_lock(&node->lock);
	list_del(&ctx->entry);
	v4l2_m2m_streamoff(file, ctx->fh.m2m_ctx, V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE);
	v4l2_m2m_streamoff(file, ctx->fh.m2m_ctx, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE);
	/*
	 * STREAMOFF waits until the job is marked as finished, but v4l2_m2m_job_finish() looks at
	 * the context once more after that: let the work item end before the context goes.
	 */
	flush_work(&ctx->work);
	v4l2_m2m_ctx_release(ctx->fh.m2m_ctx);
	mutex_unlock(&node->lock);
	cancel_delayed_work_sync(&ctx->pump);
	v4l2_ctrl_handler_free(&ctx->ctrls);
	v4l2_fh_exit(&ctx->fh);
	kfree(ctx);
	atomic_dec(&vpi_counters[VPI_LIVE_CONTEXTS]);
	return 0;
}

static const struct v4l2_file_operations vpi_fops = {
	.owner = THIS_MODULE,
	.open = vpi_open,
	.release = vpi_release,
	.poll = v4l2_m2m_fop_poll,
	.unlocked_ioctl = vpi_unlocked_ioctl,
	.mmap = v4l2_m2m_fop_mmap,
};

static ssize_t contexts_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct vpi_dev *vpi = dev_get_drvdata(dev);
	struct vpi_ctx *ctx;
	int i, n = 0;

	for (i = 0; i < VPI_NROLES; i++) {
		struct vpi_node *node = &vpi->node[i];

		mutex_lock(&node->lock);
		list_for_each_entry(ctx, &node->files, entry)
			n += sysfs_emit_at(buf, n,
				"%s %u %ux%u %.4s streaming %d silent %d frames %d coded %d "
				"aborted %d imports %d buffers %d\n",
				i == VPI_ENC ? "encode" : "isp", ctx->id, ctx->src.w, ctx->src.h,
				(const char *)&ctx->src.fmt->fourcc, READ_ONCE(ctx->streaming),
				READ_ONCE(ctx->silent), atomic_read(&ctx->n_frames),
				atomic_read(&ctx->n_coded), atomic_read(&ctx->n_aborted),
				atomic_read(&ctx->n_imports), atomic_read(&ctx->n_buffers));
		mutex_unlock(&node->lock);
	}
	return n;
}
static DEVICE_ATTR_RO(contexts);

static struct attribute *vpi_attrs[] = { &dev_attr_contexts.attr, NULL };
ATTRIBUTE_GROUPS(vpi);

/* The device is gone and the last file is closed. */
static void vpi_dev_release(struct v4l2_device *v4l2)
{
	struct vpi_dev *vpi = container_of(v4l2, struct vpi_dev, v4l2);
	int i;

	v4l2_device_unregister(&vpi->v4l2);
	/* v4l2_m2m_release() does not wait for the work item by which it starts the next job. */
	__flush_workqueue(system_wq);
	for (i = 0; i < VPI_NROLES; i++) {
		v4l2_m2m_release(vpi->node[i].m2m);
		mutex_destroy(&vpi->node[i].lock);
	}
	media_device_cleanup(&vpi->mdev);
	kfree(vpi);
}

static int vpi_register_node(struct vpi_dev *vpi, struct vpi_node *node, int nr)
{
	static const char * const names[] = { VPI_NAME "-encode", VPI_NAME "-isp" };
	struct video_device *vfd = &node->vfd;
	int ret;

	vfd->fops = &vpi_fops;
	vfd->ioctl_ops = &vpi_ioctl_ops;
	vfd->vfl_dir = VFL_DIR_M2M;
	vfd->release = video_device_release_empty;
	vfd->lock = &node->lock;
	vfd->v4l2_dev = &vpi->v4l2;
	vfd->device_caps = V4L2_CAP_VIDEO_M2M_MPLANE | V4L2_CAP_STREAMING;
	strscpy(vfd->name, names[node->role], sizeof(vfd->name));
	video_set_drvdata(vfd, vpi);
	if (node->role == VPI_ISP) {
		v4l2_disable_ioctl(vfd, VIDIOC_ENCODER_CMD);
		v4l2_disable_ioctl(vfd, VIDIOC_TRY_ENCODER_CMD);
		v4l2_disable_ioctl(vfd, VIDIOC_G_PARM);
		v4l2_disable_ioctl(vfd, VIDIOC_S_PARM);
		v4l2_disable_ioctl(vfd, VIDIOC_G_SELECTION);
		v4l2_disable_ioctl(vfd, VIDIOC_S_SELECTION);
	}
	ret = video_register_device(vfd, VFL_TYPE_VIDEO, nr);
	if (ret)
		return ret;
	ret = v4l2_m2m_register_media_controller(node->m2m, vfd, node->role == VPI_ENC ?
						 MEDIA_ENT_F_PROC_VIDEO_ENCODER :
						 MEDIA_ENT_F_PROC_VIDEO_SCALER);
	if (ret) {
		video_unregister_device(vfd);
		return ret;
	}
	v4l2_info(&vpi->v4l2, "%s is /dev/video%d\n", vfd->name, vfd->num);
	return 0;
}

/* Wakes whoever waits: nothing will come any more. */
static void vpi_unregister_node(struct vpi_node *node)
{
	struct vpi_ctx *ctx;

	WRITE_ONCE(node->gone, true);
	v4l2_m2m_unregister_media_controller(node->m2m);
	video_unregister_device(&node->vfd);
	mutex_lock(&node->lock);
	list_for_each_entry(ctx, &node->files, entry) {
		vb2_queue_error(v4l2_m2m_get_src_vq(ctx->fh.m2m_ctx));
		vb2_queue_error(v4l2_m2m_get_dst_vq(ctx->fh.m2m_ctx));
	}
	mutex_unlock(&node->lock);
}

static int vpi_probe(struct platform_device *pdev)
{
	const int nr[VPI_NROLES] = { vpi_params.encode_video_nr, vpi_params.isp_video_nr };
	struct vpi_dev *vpi;
	int i, ret;

	ret = dma_coerce_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(32));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	vpi = kzalloc(sizeof(*vpi), GFP_KERNEL);
	if (!vpi)
		return -ENOMEM;
	vpi->dev = &pdev->dev;
	for (i = 0; i < VPI_NROLES; i++) {
		struct vpi_node *node = &vpi->node[i];

		node->role = i;
		mutex_init(&node->lock);
		INIT_LIST_HEAD(&node->files);
		node->m2m = v4l2_m2m_init(&vpi_m2m_ops);
		if (IS_ERR(node->m2m)) {
			ret = PTR_ERR(node->m2m);
			goto fail_m2m;
		}
	}
	vpi->mdev.dev = &pdev->dev;
	strscpy(vpi->mdev.model, VPI_NAME, sizeof(vpi->mdev.model));
	strscpy(vpi->mdev.bus_info, "platform:" VPI_NAME, sizeof(vpi->mdev.bus_info));
	media_device_init(&vpi->mdev);
	vpi->v4l2.mdev = &vpi->mdev;
	ret = v4l2_device_register(&pdev->dev, &vpi->v4l2);
	if (ret)
		goto fail_v4l2;
	vpi->v4l2.release = vpi_dev_release;	/* from here on the last reference frees */
	platform_set_drvdata(pdev, vpi);
	for (i = 0; i < VPI_NROLES; i++) {
		ret = vpi_register_node(vpi, &vpi->node[i], nr[i]);
		if (ret)
			goto fail_nodes;
	}
	ret = media_device_register(&vpi->mdev);
	if (ret)
		goto fail_nodes;
	return 0;

fail_nodes:
	while (i-- > 0)
		vpi_unregister_node(&vpi->node[i]);
	v4l2_device_put(&vpi->v4l2);
	return ret;
fail_v4l2:
	media_device_cleanup(&vpi->mdev);
	i = VPI_NROLES;
fail_m2m:
	while (i-- > 0)
		v4l2_m2m_release(vpi->node[i].m2m);
	kfree(vpi);
	return ret;
}

static int vpi_remove(struct platform_device *pdev)
{
	struct vpi_dev *vpi = platform_get_drvdata(pdev);
	int i;

	media_device_unregister(&vpi->mdev);
	for (i = 0; i < VPI_NROLES; i++)
		vpi_unregister_node(&vpi->node[i]);
	v4l2_device_disconnect(&vpi->v4l2);
	v4l2_device_put(&vpi->v4l2);
	return 0;
}

static struct platform_driver vpi_driver = {
	.probe = vpi_probe,
	.remove = vpi_remove,
	.driver = {
		.name = VPI_NAME,
		.dev_groups = vpi_groups,
	},
};

static struct platform_device *vpi_device;

static int __init vpi_init(void)
{
	int ret = platform_driver_register(&vpi_driver);

	if (ret)
		return ret;
	vpi_device = platform_device_register_simple(VPI_NAME, -1, NULL, 0);
	if (IS_ERR(vpi_device)) {
		platform_driver_unregister(&vpi_driver);
		return PTR_ERR(vpi_device);
	}
	return 0;
}

static void __exit vpi_exit(void)
{
	platform_device_unregister(vpi_device);
	platform_driver_unregister(&vpi_driver);
}

module_init(vpi_init);
module_exit(vpi_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Stand-in for the Raspberry Pi's M2M encoder and scaler");
MODULE_IMPORT_NS(DMA_BUF);
