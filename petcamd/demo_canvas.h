/* petcamd/demo_canvas.h - the inside of a canvas, for demo_canvas.c and demo_fill.c. */
#ifndef PC_PETCAMD_DEMO_CANVAS_H
#define PC_PETCAMD_DEMO_CANVAS_H

#include "petcamd/demo_internal.h"

#define PC_CANVAS_EDGES_MAX 8192

struct pc_edge {
	float x0, y0, x1, y1; /* pixels */
};

/* Coverage of one shape, 0..255, for the pixels of `at` (even corners). */
struct pc_coverage {
	struct pc_extent at;
	uint8_t *cov; /* (x1 - x0) a line */
};

struct pc_canvas {
	enum pc_canvas_target target;
	int width, height;
	float sx, sy; /* pixels a scene unit */
	struct pc_transform to_pixels;
	float unit; /* pixels a path unit, about */
	int window_x0, window_x1;
	struct pc_extent drawn;

	/* the path */
	unsigned n_edges;
	struct pc_edge *edges;
	float path_x0, path_y0, path_x1, path_y1;

	float *sums; /* signed area a pixel while a path is scanned */
	struct pc_coverage shape;
	struct pc_coverage clip;
	uint8_t *soft[2]; /* blurring: two turns */

	/* targets */
	float *rgb;
	uint8_t *seen;
	uint8_t *planes[3];
	uint32_t strides[3];
};

/* Scans the path into canvas->shape, `pad` more pixels around it, and forgets the
 * path. false: nothing of it is in the picture. */
bool pc_canvas_scan(struct pc_canvas *canvas, int pad);

#endif
