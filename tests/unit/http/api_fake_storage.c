/* tests/unit/http/api_fake_storage.c - a storage of a few arrays. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/http/api_fake.h"

struct fake_storage fake;

bool pc_users_any(struct pc_storage *storage)
{
	return fake.has_user;
}

int pc_users_setup(struct pc_storage *storage, const char *username, const char *password_hash,
	bool consent_video, bool consent_audio, unsigned retention_days, int64_t *ret_user_id)
{
	if (fake.fail != 0) {
		return fake.fail;
	}
	if (fake.has_user) {
		return -EEXIST;
	}
	fake.has_user = true;
	fake.user = (struct pc_user){ .user_id = 7, .role = PC_ROLE_OWNER };
	snprintf(fake.user.username, sizeof(fake.user.username), "%s", username);
	snprintf(fake.user.password_hash, sizeof(fake.user.password_hash), "%s", password_hash);
	fake.consent = (struct pc_consent){ .video = consent_video, .audio = consent_audio };
	fake.retention_days = retention_days;
	*ret_user_id = 7;
	return 0;
}

int pc_users_find(struct pc_storage *storage, const char *username, struct pc_user *ret_user)
{
	if (fake.fail != 0) {
		return fake.fail;
	}
	if (!fake.has_user || strcmp(username, fake.user.username) != 0) {
		return -ENOENT;
	}
	*ret_user = fake.user;
	return 0;
}

int pc_sessions_add(
	struct pc_storage *storage, const char *session_id, int64_t user_id, int64_t expires_utc_ms)
{
	if (fake.fail != 0) {
		return fake.fail;
	}
	snprintf(fake.sessions[fake.n_sessions++], 48, "%s", session_id);
	return 0;
}

bool pc_sessions_valid(struct pc_storage *storage, const char *session_id)
{
	for (unsigned i = 0; i < fake.n_sessions; i++) {
		if (strcmp(fake.sessions[i], session_id) == 0) {
			return true;
		}
	}
	return false;
}

int pc_sessions_end(struct pc_storage *storage, const char *session_id)
{
	for (unsigned i = 0; i < fake.n_sessions; i++) {
		if (strcmp(fake.sessions[i], session_id) == 0) {
			fake.sessions[i][0] = '\0';
			return fake.fail;
		}
	}
	return -ENOENT;
}

int pc_storage_usage(struct pc_storage *storage, struct pc_storage_usage *ret)
{
	*ret = (struct pc_storage_usage){ .disk_bytes = 1000, .free_bytes = 400, .recordings = 3 };
	return fake.fail;
}

void pc_events_set_listener(
	struct pc_storage *storage, void (*fn)(void *data, int64_t event_id), void *data)
{
	fake.listener = fn;
	fake.listener_data = data;
}

int pc_events_query(struct pc_storage *storage, const struct pc_event_filter *filter,
	bool (*fn)(void *data, const struct pc_event_row *row), void *data, bool *ret_more)
{
	if (fake.fail != 0) {
		return fake.fail;
	}
	fake.filter = *filter;
	snprintf(fake.filter_camera, sizeof(fake.filter_camera), "%s",
		filter->camera != NULL ? filter->camera : "");
	unsigned sent = 0;
	bool more = false;
	for (unsigned i = fake.n_events; i-- > 0;) {
		const struct pc_event_row *row = &fake.events[i];
		if (filter->cursor_event_id != 0 &&
			row->event.event_id >= filter->cursor_event_id) {
			continue;
		}
		if (sent == filter->limit) {
			more = true;
			break;
		}
		sent++;
		if (!fn(data, row)) {
			break;
		}
	}
	*ret_more = more;
	return 0;
}

static struct pc_event_row *find_event(int64_t id)
{
	for (unsigned i = 0; i < fake.n_events; i++) {
		if (fake.events[i].event.event_id == id) {
			return &fake.events[i];
		}
	}
	return NULL;
}

int pc_events_get(struct pc_storage *storage, int64_t event_id, struct pc_event_row *ret_row)
{
	const struct pc_event_row *row = find_event(event_id);
	if (row != NULL) {
		*ret_row = *row;
	}
	return fake.fail != 0 ? fake.fail : row != NULL ? 0 : -ENOENT;
}

int pc_events_thumbnail(struct pc_storage *storage, int64_t event_id, char *ret_path, size_t size)
{
	const struct pc_event_row *row = find_event(event_id);
	if (row == NULL || !row->has_thumbnail) {
		return -ENOENT;
	}
	snprintf(ret_path, size, "%s", fake.thumbnail_path);
	return 0;
}

int pc_events_set_keep(struct pc_storage *storage, int64_t event_id, bool keep)
{
	struct pc_event_row *row = find_event(event_id);
	if (row == NULL) {
		return -ENOENT;
	}
	row->keep = keep;
	return 0;
}

int pc_recordings_query(struct pc_storage *storage, const struct pc_recording_filter *filter,
	bool (*fn)(void *data, const struct pc_recording_row *row), void *data, bool *ret_more)
{
	if (fake.fail != 0) {
		return fake.fail;
	}
	unsigned sent = 0;
	bool more = false;
	for (unsigned i = fake.n_recordings; i-- > 0;) {
		const struct pc_recording_row *row = &fake.recordings[i];
		if (filter->cursor_recording_id != 0 &&
			row->recording_id >= filter->cursor_recording_id) {
			continue;
		}
		if (sent == filter->limit) {
			more = true;
			break;
		}
		sent++;
		if (!fn(data, row)) {
			break;
		}
	}
	*ret_more = more;
	return 0;
}

static struct pc_recording_row *find_recording(int64_t id)
{
	for (unsigned i = 0; i < fake.n_recordings; i++) {
		if (fake.recordings[i].recording_id == id) {
			return &fake.recordings[i];
		}
	}
	return NULL;
}

int pc_recordings_get(
	struct pc_storage *storage, int64_t recording_id, struct pc_recording_row *ret_row)
{
	const struct pc_recording_row *row = find_recording(recording_id);
	if (row != NULL) {
		*ret_row = *row;
	}
	return fake.fail != 0 ? fake.fail : row != NULL ? 0 : -ENOENT;
}

int pc_recordings_open_media(
	struct pc_storage *storage, int64_t recording_id, int *ret_fd, uint64_t *ret_size)
{
	struct stat st;
	int fd = open(fake.media_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		return -ENOENT;
	}
	*ret_fd = fd;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

int pc_recordings_remove(struct pc_storage *storage, int64_t recording_id, const char *reason)
{
	struct pc_recording_row *row = find_recording(recording_id);
	if (row == NULL) {
		return -ENOENT;
	}
	if (row->open) {
		return -EBUSY;
	}
	snprintf(fake.removed_reason, sizeof(fake.removed_reason), "%s", reason);
	row->recording_id = 0;
	return 0;
}

int pc_alert_config_put(
	struct pc_storage *storage, const struct pc_alert_config *config, int64_t *ret_config_id)
{
	if (fake.fail != 0) {
		return fake.fail;
	}
	unsigned i = 0;
	while (i < fake.n_configs && fake.configs[i].pet_id != config->pet_id) {
		i++;
	}
	fake.configs[i] = *config;
	fake.configs[i].config_id = i + 1;
	fake.configs[i].created_utc_ms = 1000;
	fake.n_configs = i == fake.n_configs ? i + 1 : fake.n_configs;
	*ret_config_id = i + 1;
	return 0;
}

int pc_alert_config_list(
	struct pc_storage *storage, struct pc_alert_config *configs, unsigned max, unsigned *ret_n)
{
	memcpy(configs, fake.configs, fake.n_configs * sizeof(configs[0]));
	*ret_n = fake.n_configs;
	return 0;
}

int pc_alerts_ack(struct pc_storage *storage, int64_t alert_id)
{
	for (unsigned i = 0; i < fake.n_alerts; i++) {
		if (fake.alerts[i].alert_id == alert_id) {
			fake.alerts[i].acknowledged_utc_ms = 5000;
			return 0;
		}
	}
	return -ENOENT;
}

int pc_alerts_list(struct pc_storage *storage, int64_t before_id, unsigned limit,
	bool (*fn)(void *data, const struct pc_alert *alert), void *data, bool *ret_more)
{
	unsigned sent = 0;
	bool more = false;
	for (unsigned i = fake.n_alerts; i-- > 0;) {
		if (before_id != 0 && fake.alerts[i].alert_id >= before_id) {
			continue;
		}
		if (sent == limit) {
			more = true;
			break;
		}
		sent++;
		if (!fn(data, &fake.alerts[i])) {
			break;
		}
	}
	*ret_more = more;
	return 0;
}
