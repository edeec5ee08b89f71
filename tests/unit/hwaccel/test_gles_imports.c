/* tests/unit/hwaccel/test_gles_imports.c - what a GL context made of buffers that die on any
 * thread, with a GL that only counts (ld --wrap). Runs under the thread sanitizer. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <GLES2/gl2.h>
#include <drm_fourcc.h>

#include "core/thread.h"
#include "hwaccel/allocator.h"
#include "hwaccel/gles_imports_internal.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

/* --- GL --- */

static struct {
	atomic_int images, textures, framebuffers, renderbuffers; /* there are */
	unsigned imports; /* made so far */
	unsigned refuse_at; /* the n-th import is refused; 0: none */
	bool no_target; /* framebuffers are incomplete */
	pthread_t context; /* all calls must come from here */
} gl;

int __wrap_pc_egl_import(struct pc_egl *egl, const struct pc_egl_plane *plane, char *why,
	size_t why_size, void **ret_image);
void __wrap_pc_egl_release(struct pc_egl *egl, void *image);
void __wrap_pc_egl_image_to_texture(struct pc_egl *egl, void *image);
void __wrap_pc_egl_image_to_renderbuffer(struct pc_egl *egl, void *image);
void __wrap_glGenTextures(GLsizei n, GLuint *names);
void __wrap_glDeleteTextures(GLsizei n, const GLuint *names);
void __wrap_glBindTexture(GLenum target, GLuint name);
void __wrap_glTexParameteri(GLenum target, GLenum name, GLint value);
void __wrap_glGenRenderbuffers(GLsizei n, GLuint *names);
void __wrap_glDeleteRenderbuffers(GLsizei n, const GLuint *names);
void __wrap_glBindRenderbuffer(GLenum target, GLuint name);
void __wrap_glGenFramebuffers(GLsizei n, GLuint *names);
void __wrap_glDeleteFramebuffers(GLsizei n, const GLuint *names);
void __wrap_glBindFramebuffer(GLenum target, GLuint name);
void __wrap_glFramebufferRenderbuffer(GLenum target, GLenum point, GLenum kind, GLuint name);
GLenum __wrap_glCheckFramebufferStatus(GLenum target);
GLenum __wrap_glGetError(void);

static void gen(atomic_int *there, GLsizei n, GLuint *names)
{
	test_assert(pthread_equal(pthread_self(), gl.context));
	for (GLsizei i = 0; i < n; i++) {
		names[i] = 1;
	}
	atomic_fetch_add(there, n);
}

static void del(atomic_int *there, GLsizei n, const GLuint *names)
{
	test_assert(pthread_equal(pthread_self(), gl.context));
	for (GLsizei i = 0; i < n; i++) {
		atomic_fetch_sub(there, names[i] != 0);
	}
}

int __wrap_pc_egl_import(struct pc_egl *egl, const struct pc_egl_plane *plane, char *why,
	size_t why_size, void **ret_image)
{
	test_assert(plane->width > 0 && plane->height > 0 && plane->stride >= plane->width);
	if (++gl.imports == gl.refuse_at) {
		snprintf(why, why_size, "no");
		return -EINVAL;
	}
	atomic_fetch_add(&gl.images, 1);
	*ret_image = &gl;
	return 0;
}

void __wrap_pc_egl_release(struct pc_egl *egl, void *image)
{
	test_assert(image == &gl && pthread_equal(pthread_self(), gl.context));
	atomic_fetch_sub(&gl.images, 1);
}

void __wrap_pc_egl_image_to_texture(struct pc_egl *egl, void *image)
{
}

void __wrap_pc_egl_image_to_renderbuffer(struct pc_egl *egl, void *image)
{
}

void __wrap_glGenTextures(GLsizei n, GLuint *names)
{
	gen(&gl.textures, n, names);
}

void __wrap_glDeleteTextures(GLsizei n, const GLuint *names)
{
	del(&gl.textures, n, names);
}

void __wrap_glBindTexture(GLenum target, GLuint name)
{
}

void __wrap_glTexParameteri(GLenum target, GLenum name, GLint value)
{
}

void __wrap_glGenRenderbuffers(GLsizei n, GLuint *names)
{
	gen(&gl.renderbuffers, n, names);
}

void __wrap_glDeleteRenderbuffers(GLsizei n, const GLuint *names)
{
	del(&gl.renderbuffers, n, names);
}

void __wrap_glBindRenderbuffer(GLenum target, GLuint name)
{
}

void __wrap_glGenFramebuffers(GLsizei n, GLuint *names)
{
	gen(&gl.framebuffers, n, names);
}

void __wrap_glDeleteFramebuffers(GLsizei n, const GLuint *names)
{
	del(&gl.framebuffers, n, names);
}

void __wrap_glBindFramebuffer(GLenum target, GLuint name)
{
}

void __wrap_glFramebufferRenderbuffer(GLenum target, GLenum point, GLenum kind, GLuint name)
{
}

GLenum __wrap_glCheckFramebufferStatus(GLenum target)
{
	return gl.no_target ? GL_FRAMEBUFFER_UNSUPPORTED : GL_FRAMEBUFFER_COMPLETE;
}

GLenum __wrap_glGetError(void)
{
	return GL_NO_ERROR;
}

static void expect_nothing_left(void)
{
	test_int(gl.images, 0);
	test_int(gl.textures, 0);
	test_int(gl.framebuffers, 0);
	test_int(gl.renderbuffers, 0);
}

/* --- frames --- */

static const struct pc_frame_format i420 = { DRM_FORMAT_YUV420, 640, 480, 0 };
static const struct pc_frame_format nv12 = { DRM_FORMAT_NV12, 640, 480, 0 };
static const struct pc_frame_format rgb = { DRM_FORMAT_BGR888, 320, 240, 0 };

static struct pc_frame_pool *pool_of(const struct pc_frame_format *format, unsigned n)
{
	struct pc_allocator *allocator;
	struct pc_frame_pool *pool;
	test_int(pc_allocator_create_memfd(&allocator), 0);
	test_int(pc_frame_pool_create(allocator, format, n, &pool), 0);
	pc_allocator_destroy(allocator); /* the pool holds it */
	return pool;
}

static void on_died(void *data)
{
	atomic_fetch_add((atomic_uint *)data, 1);
}

static void begin(struct pc_gles_imports *imports, atomic_uint *deaths)
{
	memset(&gl, 0, sizeof(gl));
	gl.context = pthread_self();
	atomic_init(deaths, 0);
	pc_gles_imports_init(imports, NULL, on_died, deaths);
}

static char why[128];

/* --- tests --- */

static void test_once_a_buffer(void)
{
	struct pc_gles_imports imports;
	atomic_uint deaths;
	begin(&imports, &deaths);
	struct pc_frame_pool *in = pool_of(&i420, 1);
	struct pc_frame_pool *out = pool_of(&rgb, 1);
	struct pc_gles_import *first = NULL;
	for (int i = 0; i < 10; i++) {
		struct pc_gles_import *from = NULL;
		struct pc_gles_import *to = NULL;
		struct pc_frame *input = pc_frame_pool_acquire(in);
		struct pc_frame *output = pc_frame_pool_acquire(out);
		bool is_new = false;
		test_int(pc_gles_imports_input(&imports, input, why, sizeof(why), &is_new, &from),
			0);
		test_int(is_new, i == 0);
		first = i == 0 ? from : first;
		test_assert(from == first && from->textures[2] != 0);
		test_int(pc_gles_imports_output(&imports, output, why, sizeof(why), &to), 0);
		test_assert(to->framebuffer != 0);
		pc_frame_unref(input);
		pc_frame_unref(output);
	}
	test_int(gl.imports, 4);
	test_int(gl.textures, 3);
	pc_frame_pool_destroy(in);
	test_int(deaths, 1);
	test_int(gl.textures, 3); /* until its thread comes */
	pc_gles_imports_reap(&imports);
	test_int(gl.textures, 0);
	test_int(gl.images, 1);
	pc_gles_imports_finish(&imports);
	expect_nothing_left();
	pc_frame_pool_destroy(out); /* nothing left on it */
	test_int(deaths, 1);
}

static void test_refused(void)
{
	struct pc_gles_imports imports;
	atomic_uint deaths;
	begin(&imports, &deaths);
	struct pc_frame_pool *in = pool_of(&nv12, 1);
	struct pc_frame_pool *out = pool_of(&rgb, 1);
	struct pc_frame *input = pc_frame_pool_acquire(in);
	struct pc_frame *output = pc_frame_pool_acquire(out);
	struct pc_gles_import *import = NULL;
	for (unsigned n = 1; n <= 2; n++) {
		gl.refuse_at = gl.imports + n;
		test_int(pc_gles_imports_input(&imports, input, why, sizeof(why), NULL, &import),
			-EINVAL);
		test_str(why, "no");
		expect_nothing_left();
	}
	gl.refuse_at = gl.imports + 1;
	test_int(pc_gles_imports_output(&imports, output, why, sizeof(why), &import), -EINVAL);
	gl.no_target = true;
	test_int(pc_gles_imports_output(&imports, output, why, sizeof(why), &import), -ENOTSUP);
	test_assert(strstr(why, "does not draw into") != NULL);
	expect_nothing_left();
	test_int(pc_gles_imports_input(&imports, output, why, sizeof(why), NULL, &import),
		-EINVAL); /* RGB is nothing to read */
	fault_arm(FAULT_ALLOC, 1, ENOMEM);
	test_int(pc_gles_imports_input(&imports, input, why, sizeof(why), NULL, &import), -ENOMEM);
	test_assert(fault_disarm());
	fault_arm(FAULT_ALLOC, 1, ENOMEM);
	test_int(pc_gles_imports_output(&imports, output, why, sizeof(why), &import), -ENOMEM);
	test_assert(fault_disarm());
	test_assert(import == NULL);
	pc_gles_imports_finish(&imports);
	expect_nothing_left();
	pc_frame_unref(input);
	pc_frame_unref(output);
	pc_frame_pool_destroy(in);
	pc_frame_pool_destroy(out);
}

/* A context goes while its buffers die on other threads. */
struct killer {
	struct pc_frame_pool *pools[4];
	pthread_barrier_t *barrier;
};

static void *kill_pools(void *data)
{
	struct killer *killer = data;
	pthread_barrier_wait(killer->barrier);
	for (int i = 0; i < 4; i++) {
		pc_frame_pool_destroy(killer->pools[i]);
	}
	return NULL;
}

static void test_all_die_at_once(void)
{
	for (int round = 0; round < 200; round++) {
		struct pc_gles_imports imports;
		struct pc_gles_imports others; /* a second context on the same buffers */
		atomic_uint deaths;
		begin(&imports, &deaths);
		pc_gles_imports_init(&others, NULL, on_died, &deaths);
		pthread_barrier_t barrier;
		pthread_barrier_init(&barrier, NULL, 4);
		struct killer killers[3] = { 0 };
		pthread_t threads[3];
		for (int k = 0; k < 3; k++) {
			killers[k].barrier = &barrier;
			for (int p = 0; p < 4; p++) {
				killers[k].pools[p] = pool_of(&nv12, 2);
				struct pc_frame *frame = pc_frame_pool_acquire(killers[k].pools[p]);
				struct pc_gles_import *import = NULL;
				test_int(pc_gles_imports_input(
						 &imports, frame, why, sizeof(why), NULL, &import),
					0);
				test_int(pc_gles_imports_input(
						 &others, frame, why, sizeof(why), NULL, &import),
					0);
				pc_frame_unref(frame);
			}
			test_int(pc_thread_create(&threads[k], "killer", kill_pools, &killers[k]),
				0);
		}
		pthread_barrier_wait(&barrier);
		for (int i = 0; i < round % 8; i++) { /* earlier and later among the deaths */
			sched_yield();
			pc_gles_imports_reap(&imports);
		}
		pc_gles_imports_finish(&imports);
		pc_gles_imports_finish(&others);
		expect_nothing_left();
		for (int k = 0; k < 3; k++) {
			pthread_join(threads[k], NULL);
		}
		pthread_barrier_destroy(&barrier);
	}
}

int main(void)
{
	TEST_RUN(test_once_a_buffer);
	TEST_RUN(test_refused);
	TEST_RUN(test_all_die_at_once);
	return test_end();
}
