/* tests/unit/hwaccel/clip.h - writes small video files for tests.
 *
 * Picture n is flat: luma clip_luma(n) all over, but its top left quarter is white (235).
 */
#ifndef PC_TEST_CLIP_H
#define PC_TEST_CLIP_H

#include <stdint.h>

struct clip {
	const char *path; /* its ending chooses the container */
	const char *codec; /* libavcodec's name of an encoder */
	const char *pixels; /* libavutil's name of a pixel format */
	int width, height;
	unsigned frames;
	int clockwise; /* "turn by that many degrees to see it upright" */
	double fps;
	const int *times; /* of each picture, in 1/100 s; NULL: by fps */
	const char *movflags; /* NULL: none */
};

int clip_luma(unsigned n);
void clip_write(const struct clip *clip); /* ends the test if it cannot */
void clip_remove_folder(const char *path); /* with what is in it */

#endif
