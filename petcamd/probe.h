/* petcamd/probe.h - the whole picture of a machine's media hardware, for bug reports.
 *
 * What the nodes say of themselves is shown, and what they do is tried: buffers are really
 * handed from each memory to each device. Nothing is started on a camera, one that is in use is
 * left alone, and every device is asked by a process of its own, with a time limit: a driver
 * that hangs or a library that crashes costs a line of the report.
 *
 * Thread: the program must have one only (it forks).
 */
#ifndef PC_PETCAMD_PROBE_H
#define PC_PETCAMD_PROBE_H

#include <stdbool.h>
#include <stdio.h>

#include "config/settings.h"

/* Asks everything and writes the report to `out`: plain words, or one JSON object. `settings`:
 * what the first camera is to be and which devices are named, for what would be chosen.
 * 0 or negative errno (the machine's faults are in the report and no error). Takes some
 * seconds at most, unless many devices do not answer. */
int pc_probe(FILE *out, bool json, const char *version, const struct pc_settings *settings);

#endif
