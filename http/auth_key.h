/* http/auth_key.h - the secret that tokens and cursors are signed with.
 *
 * Thread: at start only; blocks on the disk.
 */
#ifndef PC_HTTP_AUTH_KEY_H
#define PC_HTTP_AUTH_KEY_H

#include <stdint.h>

#include "http/crypto.h"

/* Reads <folder>/jwt.key, or makes folder (0700) and key (32 random bytes, 0600, written
 * whole or not at all). A key of another size, or one that others may read, is replaced with
 * a warning: every login ends then. 0 or negative errno. */
int pc_auth_key_load(const char *folder, uint8_t ret_key[static PC_CRYPTO_KEY_SIZE]);

#endif
