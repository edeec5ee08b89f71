/* core/still.h - a JPEG from a key-frame fragment.
 *
 * Snapshots and thumbnails are decoded (libavcodec) from what was streamed, so
 * that full-size frames need no CPU access. Takes some 10 ms at 720p on the
 * calling thread: never on a media loop. Needs about 256 KiB of stack.
 */
#ifndef PC_CORE_STILL_H
#define PC_CORE_STILL_H

#include <stddef.h>
#include <stdint.h>

#include "core/fragment.h"

/* Scales down to at most max_width pixels (0: as it is; at least 16), keeping the shape.
 * 0 and a malloc'ed JPEG, to be freed by the caller; -EINVAL: not a key
 * fragment; -EIO: does not decode; -ENOMEM. Thread: any. */
int pc_still_jpeg(const struct pc_fragment *fragment, unsigned max_width, uint8_t **ret_data,
	size_t *ret_size);

#endif
