/* tests/support/fail_encoder.c - preloaded into the daemon: its encoder fails when it is told to.
 *
 * While the file that $PETCAM_FAIL_ENCODER names exists, avcodec_send_frame() answers EIO; the
 * first such call removes it, so that it fails once.
 */
#include <dlfcn.h>
#include <errno.h>
#include <libavcodec/avcodec.h>
#include <stdlib.h>
#include <unistd.h>

int avcodec_send_frame(AVCodecContext *codec, const AVFrame *frame)
{
	static int (*send)(AVCodecContext *, const AVFrame *);
	if (send == NULL) {
		*(void **)&send = dlsym(RTLD_NEXT, "avcodec_send_frame");
	}
	const char *path = getenv("PETCAM_FAIL_ENCODER");
	if (path != NULL && unlink(path) == 0) {
		return AVERROR(EIO);
	}
	return send(codec, frame);
}
