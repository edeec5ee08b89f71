/* core/stats.h - what is counted all the time, one block a camera.
 *
 * Every drop is counted where it happens. Writers use relaxed atomic adds;
 * readers (/health, /metrics, tests) look whenever they like.
 */
#ifndef PC_CORE_STATS_H
#define PC_CORE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t pc_counter; /* a plain value, not an object */

struct pc_camera_stats {
	pc_counter frames_captured; /* the source made it */
	pc_counter frames_skipped_source; /* the source was too late, or had no free buffer */
	pc_counter frames_bad; /* the camera marked them as corrupt */
	pc_counter source_gaps; /* frames that the camera's own numbers say were lost */
	pc_counter frames_converted; /* decoded or converted on the CPU: each a copy */
	pc_counter frames_dropped_encoder; /* the encoder had no free slot */
	pc_counter frames_aborted; /* the encoder gave the frame back without a packet */
	pc_counter encoder_junk; /* it gave what belongs to no frame, or was truncated */
	pc_counter encoder_imports; /* frame buffers that a device mapped for itself */
	pc_counter scaler_imports;
	pc_counter frames_encoded;
	pc_counter frames_dropped_mux; /* no memory for the fragment */
	pc_counter fragments;
	pc_counter bytes_encoded;
	pc_counter frames_scaled;
	pc_counter frames_dropped_scaler;
	pc_counter frames_inferred;
	pc_counter frames_dropped_inference; /* a newer small frame came first */
	pc_counter viewer_skips; /* times that a slow viewer was moved on to a key frame */
	pc_counter recorder_gaps; /* fragments that left the window before they were written */
	pc_counter events;
	pc_counter source_opens;
	pc_counter encoder_opens;
	pc_counter scaler_opens;
	_Atomic int64_t last_frame_ns; /* capture time of the newest frame; 0: none yet */
	_Atomic int64_t encode_ns; /* moving mean, taken to encoded */
	_Atomic int64_t infer_ns; /* moving mean of one inference */
};

static inline void pc_counter_add(pc_counter *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline uint64_t pc_counter_get(const pc_counter *counter)
{
	return atomic_load_explicit((pc_counter *)counter, memory_order_relaxed);
}

/* A moving mean over about 16 values; one writer. */
static inline void pc_mean_add(_Atomic int64_t *mean, int64_t value)
{
	const int64_t old = atomic_load_explicit(mean, memory_order_relaxed);
	atomic_store_explicit(
		mean, old == 0 ? value : old + (value - old) / 16, memory_order_relaxed);
}

#endif
