/* hwaccel/gles_draw.c - the draw that makes a picture small: planes in, packed RGB out. */
#include "hwaccel/gles_draw_internal.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <GLES2/gl2.h>
#include <drm_fourcc.h>

#define HD_HEIGHT 720 /* from here on colours are BT.709's, as the encoder says too */
#define TAPS_MAX 64 /* each way: a source 128 times as large */
#define SOURCE_MAX 6144

enum sampling { PLANAR, SEMIPLANAR, PACKED };

struct taken {
	uint32_t fourcc;
	enum sampling sampling;
	const char *fetch; /* body: what is Y, U, V of the output pixel that is `at`? */
};

static const struct taken taken[] = {
	{ DRM_FORMAT_YUV420, PLANAR,
		"return vec3(luma(at).r, chroma(u_plane1, at).r, chroma(u_plane2, at).r);" },
	{ DRM_FORMAT_NV12, SEMIPLANAR, "return vec3(luma(at).r, chroma(u_plane1, at).rg);" },
	{ DRM_FORMAT_YUYV, PACKED, "vec4 t = luma(at); return vec3(0.5 * (t.r + t.b), t.g, t.a);" },
};

struct pc_gles_draw {
	GLuint program;
	GLint corner; /* attribute */
	unsigned n_textures;
	GLsizei width, height; /* of the target, in texels */
};

static const char vertex_source[] = "attribute vec2 a_corner;\n"
				    "void main() { gl_Position = vec4(a_corner, 0.0, 1.0); }\n";

/* The mean of what the output pixel `at` covers of a plane. Texels j and j + 1 with weights a
 * and b are one read at j + 0.5 + b / (a + b) of a sampler that interpolates. */
static const char area_source[] =
	"vec4 %s(%svec2 at) {\n"
	"	vec2 ratio = %s / u_content.zw;\n"
	"	vec2 reach = 0.5 * max(ratio, vec2(1.0));\n"
	"	vec2 low = (at + 0.5) * ratio - reach, high = low + 2.0 * reach;\n"
	"	vec2 first = floor(low + 0.001);\n"
	"	vec4 sum = vec4(0.0);\n"
	"	for (int iy = 0; iy < %u; iy++) {\n"
	"		float y = first.y + 2.0 * float(iy);\n"
	"		float wy = max(0.0, min(high.y, y + 1.0) - max(low.y, y));\n"
	"		float vy = max(0.0, min(high.y, y + 2.0) - max(low.y, y + 1.0));\n"
	"		float ty = (y + 0.5 + vy / max(wy + vy, 0.0001)) / %s.y;\n"
	"		for (int ix = 0; ix < %u; ix++) {\n"
	"			float x = first.x + 2.0 * float(ix);\n"
	"			float wx = max(0.0, min(high.x, x + 1.0) - max(low.x, x));\n"
	"			float vx = max(0.0, min(high.x, x + 2.0) - max(low.x, x + 1.0));\n"
	"			float tx = (x + 0.5 + vx / max(wx + vx, 0.0001)) / %s.x;\n"
	"			sum += (wx + vx) * (wy + vy) * texture2D(%s, vec2(tx, ty));\n"
	"		}\n"
	"	}\n"
	"	return sum / (4.0 * reach.x * reach.y);\n"
	"}\n";

static const char head_source[] = "precision highp float;\n"
				  "uniform highp sampler2D u_plane0, u_plane1, u_plane2;\n"
				  "uniform vec2 u_luma, u_chroma;\n" /* texels of the planes */
				  "uniform vec4 u_content;\n" /* x, y, width, height: pixels */
				  "uniform mat3 u_matrix;\n"
				  "uniform vec3 u_zero;\n";

/* Texel t of a line holds bytes 4 t to 4 t + 3, which begin in pixel 4 t / 3. */
static const char main_source[] =
	"vec3 yuv(vec2 at) { %s }\n"
	"vec3 pixel(vec2 at) {\n"
	"	at -= u_content.xy;\n"
	"	vec2 inside = step(vec2(-0.25), at) * step(at, u_content.zw - 0.75);\n"
	"	vec3 rgb = clamp(u_matrix * (yuv(at) - u_zero), 0.0, 1.0);\n"
	"	return inside.x * inside.y * rgb;\n"
	"}\n"
	"void main() {\n"
	"	vec2 texel = floor(gl_FragCoord.xy);\n"
	"	float x = floor((4.0 * texel.x + 0.5) / 3.0);\n"
	"	float phase = texel.x - 3.0 * floor((texel.x + 0.5) / 3.0);\n"
	"	vec3 a = pixel(vec2(x, texel.y));\n"
	"	vec3 b = pixel(vec2(x + 1.0, texel.y));\n"
	"	gl_FragColor = phase < 0.5 ? vec4(a, b.r)\n"
	"		: phase < 1.5 ? vec4(a.gb, b.rg) : vec4(a.b, b);\n"
	"}\n";

static const struct taken *find(uint32_t fourcc)
{
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		if (taken[i].fourcc == fourcc) {
			return &taken[i];
		}
	}
	return NULL;
}

bool pc_gles_draw_takes(uint32_t fourcc)
{
	return find(fourcc) != NULL;
}

unsigned pc_gles_draw_planes(const struct pc_frame_format *format,
	const struct pc_frame_plane planes[static PC_FRAME_MAX_PLANES],
	struct pc_egl_plane ret_planes[static PC_GLES_PLANES_MAX])
{
	const struct taken *entry = find(format->fourcc);
	if (entry == NULL) {
		return 0;
	}
	const bool packed = entry->sampling == PACKED;
	const unsigned n = packed ? 1 : entry->sampling == SEMIPLANAR ? 2 : 3;
	for (unsigned i = 0; i < n; i++) {
		ret_planes[i] = (struct pc_egl_plane){
			.fd = planes[i].fd,
			.fourcc = packed	     ? DRM_FORMAT_ABGR8888
				  : n == 2 && i == 1 ? DRM_FORMAT_GR88
						     : DRM_FORMAT_R8,
			.width = packed || i > 0 ? format->width / 2 : format->width,
			.height = i > 0 ? format->height / 2 : format->height,
			.offset = planes[i].offset,
			.stride = planes[i].stride,
		};
	}
	return n;
}

void pc_gles_draw_target(const struct pc_frame_format *format, const struct pc_frame_plane *plane,
	struct pc_egl_plane *ret_plane)
{
	assert(format->fourcc == DRM_FORMAT_BGR888 && format->width % 4 == 0);
	*ret_plane = (struct pc_egl_plane){
		.fd = plane->fd,
		.fourcc = DRM_FORMAT_ABGR8888,
		.width = format->width / 4 * 3,
		.height = format->height,
		.offset = plane->offset,
		.stride = plane->stride,
	};
}

/* --- the program --- */

static GLuint compile(GLenum type, const char *source, char *why, size_t why_size)
{
	const GLuint shader = glCreateShader(type);
	GLint good = GL_FALSE;
	glShaderSource(shader, 1, &source, NULL);
	glCompileShader(shader);
	glGetShaderiv(shader, GL_COMPILE_STATUS, &good);
	if (good == GL_TRUE) {
		return shader;
	}
	char log[160] = "";
	glGetShaderInfoLog(shader, sizeof(log), NULL, log);
	log[strcspn(log, "\n")] = '\0';
	snprintf(why, why_size, "the shader does not compile: %s", log);
	glDeleteShader(shader);
	return 0;
}

static GLuint link_program(const char *fragment_source, char *why, size_t why_size)
{
	const GLuint vertex = compile(GL_VERTEX_SHADER, vertex_source, why, why_size);
	const GLuint fragment =
		vertex != 0 ? compile(GL_FRAGMENT_SHADER, fragment_source, why, why_size) : 0;
	GLuint program = 0;
	if (fragment != 0) {
		GLint good = GL_FALSE;
		program = glCreateProgram();
		glAttachShader(program, vertex);
		glAttachShader(program, fragment);
		glLinkProgram(program);
		glGetProgramiv(program, GL_LINK_STATUS, &good);
		if (good != GL_TRUE) {
			snprintf(why, why_size, "the shaders do not link");
			glDeleteProgram(program);
			program = 0;
		}
	}
	glDeleteShader(fragment); /* 0 is ignored */
	glDeleteShader(vertex);
	return program;
}

/* Where the picture lies in the output, in pixels: all of it, or, where the shapes differ by
 * more than rounding, the middle. */
struct content {
	float x, y, width, height;
};

static struct content place(const struct pc_frame_format *input, unsigned width, unsigned height)
{
	const double scale = fmin((double)width / input->width, (double)height / input->height);
	double w = scale * input->width;
	double h = scale * input->height;
	w = width - w <= 2 ? width : floor(w / 2 + 0.5) * 2;
	h = height - h <= 2 ? height : floor(h / 2 + 0.5) * 2;
	return (struct content){
		.x = (float)((width - w) / 2),
		.y = (float)((height - h) / 2),
		.width = (float)w,
		.height = (float)h,
	};
}

/* Reads of the sampler, two texels each, for what one output pixel can cover. */
static unsigned count_taps(double source, double output)
{
	const double ratio = fmax(source / output, 1);
	const bool whole = ratio == floor(ratio) && source >= output;
	const unsigned texels = (unsigned)ratio + (whole ? 0 : 2);
	return (texels + 1) / 2;
}

static void set_colours(GLuint program, const struct pc_frame_format *input)
{
	const bool hd = input->height >= HD_HEIGHT;
	const double kr = hd ? 0.2126 : 0.299;
	const double kb = hd ? 0.0722 : 0.114;
	const double kg = 1 - kr - kb;
	const double y = 255.0 / 219; /* limited range */
	const double c = 255.0 / 224;
	const GLfloat columns[9] = {
		(GLfloat)y, (GLfloat)y, (GLfloat)y, /* Y */
		0, (GLfloat)(-c * 2 * (1 - kb) * kb / kg), (GLfloat)(c * 2 * (1 - kb)), /* U */
		(GLfloat)(c * 2 * (1 - kr)), (GLfloat)(-c * 2 * (1 - kr) * kr / kg), 0, /* V */
	};
	glUniformMatrix3fv(glGetUniformLocation(program, "u_matrix"), 1, GL_FALSE, columns);
	glUniform3f(
		glGetUniformLocation(program, "u_zero"), 16.0f / 255, 128.0f / 255, 128.0f / 255);
}

static void set_uniforms(GLuint program, const struct pc_frame_format *input,
	const struct content *content, const struct pc_egl_plane *planes, unsigned n_planes)
{
	static const char *const names[] = { "u_plane0", "u_plane1", "u_plane2" };
	glUseProgram(program);
	for (unsigned i = 0; i < n_planes; i++) {
		glUniform1i(glGetUniformLocation(program, names[i]), (GLint)i);
	}
	glUniform2f(glGetUniformLocation(program, "u_luma"), (GLfloat)planes[0].width,
		(GLfloat)planes[0].height);
	if (n_planes > 1) {
		glUniform2f(glGetUniformLocation(program, "u_chroma"), (GLfloat)planes[1].width,
			(GLfloat)planes[1].height);
	}
	glUniform4f(glGetUniformLocation(program, "u_content"), content->x, content->y,
		content->width, content->height);
	set_colours(program, input);
}

static int write_source(char *source, const struct taken *entry, const struct content *content,
	const struct pc_egl_plane *planes, unsigned n_planes)
{
	const unsigned nx = count_taps(planes[0].width, (double)content->width);
	const unsigned ny = count_taps(planes[0].height, (double)content->height);
	if (nx > TAPS_MAX || ny > TAPS_MAX) {
		return -EINVAL;
	}
	size_t used = (size_t)snprintf(source, SOURCE_MAX, "%s", head_source);
	used += (size_t)snprintf(source + used, SOURCE_MAX - used, area_source, "luma", "",
		"u_luma", ny, "u_luma", nx, "u_luma", "u_plane0");
	if (n_planes > 1) {
		used += (size_t)snprintf(source + used, SOURCE_MAX - used, area_source, "chroma",
			"sampler2D plane, ", "u_chroma",
			count_taps(planes[1].height, (double)content->height), "u_chroma",
			count_taps(planes[1].width, (double)content->width), "u_chroma", "plane");
	}
	used += (size_t)snprintf(source + used, SOURCE_MAX - used, main_source, entry->fetch);
	assert(used < SOURCE_MAX);
	return 0;
}

int pc_gles_draw_create(const struct pc_frame_format *input, unsigned width, unsigned height,
	char *why, size_t why_size, struct pc_gles_draw **ret_draw)
{
	static const struct pc_frame_plane none[PC_FRAME_MAX_PLANES];
	struct pc_egl_plane planes[PC_GLES_PLANES_MAX];
	const unsigned n_planes = pc_gles_draw_planes(input, none, planes);
	const struct content content = place(input, width, height);
	char *source = malloc(SOURCE_MAX);
	struct pc_gles_draw *draw = calloc(1, sizeof(*draw));
	int r = -ENOMEM;
	if (source == NULL || draw == NULL) {
		goto fail;
	}
	r = n_planes == 0 ? -EINVAL
			  : write_source(source, find(input->fourcc), &content, planes, n_planes);
	if (r < 0) {
		snprintf(why, why_size, "cannot make this picture that small");
		goto fail;
	}
	draw->program = link_program(source, why, why_size);
	if (draw->program == 0) {
		r = -EIO;
		goto fail;
	}
	set_uniforms(draw->program, input, &content, planes, n_planes);
	draw->corner = glGetAttribLocation(draw->program, "a_corner");
	draw->n_textures = n_planes;
	draw->width = (GLsizei)(width / 4 * 3);
	draw->height = (GLsizei)height;
	glDisable(GL_DITHER);
	free(source);
	*ret_draw = draw;
	return 0;

fail:
	free(draw);
	free(source);
	return r;
}

int pc_gles_draw_run(struct pc_gles_draw *draw, const unsigned textures[], unsigned framebuffer)
{
	/* One triangle that covers the target: no seam along a diagonal. */
	static const GLfloat corners[] = { -1, -1, 3, -1, -1, 3 };
	const GLuint corner = (GLuint)draw->corner;
	glUseProgram(draw->program);
	glBindFramebuffer(GL_FRAMEBUFFER, framebuffer);
	glViewport(0, 0, draw->width, draw->height);
	for (unsigned i = 0; i < draw->n_textures; i++) {
		glActiveTexture(GL_TEXTURE0 + i);
		glBindTexture(GL_TEXTURE_2D, textures[i]);
	}
	glVertexAttribPointer(corner, 2, GL_FLOAT, GL_FALSE, 0, corners);
	glEnableVertexAttribArray(corner);
	glDrawArrays(GL_TRIANGLES, 0, 3);
	return glGetError() == GL_NO_ERROR ? 0 : -EIO;
}

void pc_gles_draw_destroy(struct pc_gles_draw *draw)
{
	if (draw == NULL) {
		return;
	}
	glDeleteProgram(draw->program);
	free(draw);
}
