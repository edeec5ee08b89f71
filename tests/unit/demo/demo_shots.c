/* tests/unit/demo/demo_shots.c - pictures of the demo room, and what is true in them.
 *
 *   demo_shots WIDTH HEIGHT SEED OUT.y4m SECOND...    these moments
 *   demo_shots WIDTH HEIGHT SEED OUT.y4m FROM-TO@FPS  a stretch of time
 *
 * The truth goes to stdout, one line a pet and picture.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "petcamd/demo.h"

struct shots {
	unsigned width, height;
	struct pc_demo_scene *scene;
	struct pc_demo_painter *painter;
	uint8_t *pixels;
	FILE *out;
	uint32_t count;
};

static bool take(struct shots *shots, double t_s)
{
	const size_t luma = (size_t)shots->width * shots->height;
	uint8_t *const planes[3] = { shots->pixels, shots->pixels + luma,
		shots->pixels + luma + luma / 4 };
	const uint32_t strides[3] = { shots->width, shots->width / 2, shots->width / 2 };
	pc_demo_paint(shots->painter, t_s, shots->count++, (int64_t)(t_s * 1000), planes, strides);
	struct pc_demo_truth truth[PC_DEMO_PETS];
	pc_demo_scene_truth(shots->scene, t_s, truth);
	for (unsigned i = 0; i < PC_DEMO_PETS; i++) {
		const struct pc_box *box = &truth[i].box;
		printf("%.3f %s %s %s %.4f %.4f %.4f %.4f\n", t_s, truth[i].name,
			pc_demo_action_name(truth[i].action), truth[i].moving ? "moving" : "still",
			(double)box->x, (double)box->y, (double)box->w, (double)box->h);
	}
	return fputs("FRAME\n", shots->out) >= 0 &&
	       fwrite(shots->pixels, 1, luma + luma / 2, shots->out) == luma + luma / 2;
}

static bool take_all(struct shots *shots, int n, char **moments)
{
	double from, to, fps;
	if (sscanf(moments[0], "%lf-%lf@%lf", &from, &to, &fps) == 3 && fps > 0) {
		fprintf(shots->out, "YUV4MPEG2 W%u H%u F%d:1000 Ip A1:1 C420jpeg\n", shots->width,
			shots->height, (int)(fps * 1000));
		const unsigned count = (unsigned)((to - from) * fps);
		for (unsigned i = 0; i < count; i++) {
			if (!take(shots, from + i / fps)) {
				return false;
			}
		}
		return true;
	}
	fprintf(shots->out, "YUV4MPEG2 W%u H%u F1:1 Ip A1:1 C420jpeg\n", shots->width,
		shots->height);
	for (int i = 0; i < n; i++) {
		if (!take(shots, strtod(moments[i], NULL))) {
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	if (argc < 6) {
		fprintf(stderr, "usage: %s WIDTH HEIGHT SEED OUT.y4m SECOND... | FROM-TO@FPS\n",
			argv[0]);
		return 2;
	}
	struct shots shots = {
		.width = (unsigned)strtoul(argv[1], NULL, 10),
		.height = (unsigned)strtoul(argv[2], NULL, 10),
	};
	if (pc_demo_scene_create(strtoull(argv[3], NULL, 10), &shots.scene) < 0 ||
		pc_demo_painter_create(shots.scene, shots.width, shots.height, &shots.painter) <
			0) {
		fprintf(stderr, "no such picture size\n");
		return 1;
	}
	shots.pixels = calloc((size_t)shots.width * shots.height * 3 / 2, 1);
	shots.out = fopen(argv[4], "wb");
	bool ok = shots.pixels != NULL && shots.out != NULL && take_all(&shots, argc - 5, argv + 5);
	if (shots.out != NULL && fclose(shots.out) != 0) {
		ok = false;
	}
	if (!ok) {
		perror(argv[4]);
	}
	free(shots.pixels);
	pc_demo_painter_destroy(shots.painter);
	pc_demo_scene_destroy(shots.scene);
	return ok ? 0 : 1;
}
