/* petcamd/ready_file.h - tells whoever started petcamd that it serves. */
#ifndef PC_PETCAMD_READY_FILE_H
#define PC_PETCAMD_READY_FILE_H

/* Writes {"url", "pid", "setup_code"} to `path`, mode 0600 (the code opens the door), by a
 * temporary file and rename: a reader sees the whole or nothing. `setup_code` NULL: null.
 * 0 or negative errno. */
int pc_ready_file_write(const char *path, const char *url, const char *setup_code);

#endif
