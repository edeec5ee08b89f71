-- The first catalogue. Times are UTC milliseconds since 1970, durations milliseconds.
-- A migration runs once, in one transaction, and is never edited after a release.

CREATE TABLE pet (
	pet_id INTEGER PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL,
	species TEXT NOT NULL DEFAULT 'unknown',
	face_embedding BLOB, -- enrolled vectors, one after another; NULL: not enrolled
	created INTEGER NOT NULL
) STRICT;

CREATE TABLE camera (
	camera_id TEXT PRIMARY KEY, -- as in the settings
	name TEXT NOT NULL DEFAULT '',
	privacy INTEGER NOT NULL DEFAULT 0, -- 1: switched off by its owner
	created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE zone (
	zone_id INTEGER PRIMARY KEY AUTOINCREMENT,
	camera_id TEXT NOT NULL REFERENCES camera (camera_id) ON DELETE CASCADE,
	name TEXT NOT NULL,
	kind TEXT NOT NULL,
	mask INTEGER NOT NULL DEFAULT 0, -- 1: motion is not looked for here
	points TEXT NOT NULL, -- JSON: [[x, y], ...], 0..1 of the picture
	UNIQUE (camera_id, name)
) STRICT;

-- A file under <root>/recordings. The row is committed before the first frame is written.
CREATE TABLE recording (
	recording_id INTEGER PRIMARY KEY AUTOINCREMENT,
	camera TEXT NOT NULL,
	path TEXT NOT NULL UNIQUE, -- from the data root
	timestamp INTEGER NOT NULL, -- of its first frame
	duration INTEGER, -- NULL while it is open
	event_type TEXT NOT NULL, -- of the event that started it
	state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
	keep INTEGER NOT NULL DEFAULT 0,
	bytes INTEGER NOT NULL DEFAULT 0,
	frames INTEGER NOT NULL DEFAULT 0,
	width INTEGER NOT NULL DEFAULT 0,
	height INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX recording_time ON recording (timestamp);
CREATE INDEX recording_camera ON recording (camera, timestamp);
CREATE INDEX recording_open ON recording (recording_id) WHERE state = 'open';
CREATE INDEX recording_oldest ON recording (keep, timestamp) WHERE state = 'closed';

-- No foreign key on camera: cameras come and go in the settings, the log stays.
CREATE TABLE event_log (
	event_id INTEGER PRIMARY KEY AUTOINCREMENT,
	timestamp INTEGER NOT NULL,
	pet_id INTEGER REFERENCES pet (pet_id) ON DELETE SET NULL, -- NULL: not known
	event_type TEXT NOT NULL,
	media_path TEXT, -- the recording's path; follows recording_id
	duration INTEGER, -- NULL while it goes on
	camera TEXT NOT NULL,
	recording_id INTEGER REFERENCES recording (recording_id) ON DELETE SET NULL,
	thumbnail TEXT, -- path from the data root
	score REAL NOT NULL DEFAULT 0,
	track_id INTEGER NOT NULL DEFAULT 0,
	box_x REAL NOT NULL DEFAULT 0,
	box_y REAL NOT NULL DEFAULT 0,
	box_w REAL NOT NULL DEFAULT 0,
	box_h REAL NOT NULL DEFAULT 0,
	zone TEXT NOT NULL DEFAULT '',
	evidence TEXT NOT NULL DEFAULT '',
	keep INTEGER NOT NULL DEFAULT 0,
	updated INTEGER NOT NULL -- when this row was last written: the end, should we be killed
) STRICT;

-- Every filter of the event list is a seek in one of these, merged over the kinds where an
-- index has them in front of the time (storage/event_query.c).
CREATE INDEX event_log_time ON event_log (timestamp);
CREATE INDEX event_log_type ON event_log (event_type, timestamp);
CREATE INDEX event_log_camera ON event_log (camera, event_type, timestamp);
CREATE INDEX event_log_pet ON event_log (pet_id, event_type, timestamp);
CREATE INDEX event_log_pet_camera ON event_log (pet_id, camera, event_type, timestamp);
CREATE INDEX event_log_recording ON event_log (recording_id) WHERE recording_id IS NOT NULL;
CREATE INDEX event_log_open ON event_log (event_id) WHERE duration IS NULL;

CREATE TABLE user (
	user_id INTEGER PRIMARY KEY AUTOINCREMENT,
	username TEXT NOT NULL UNIQUE,
	password_hash TEXT NOT NULL,
	role TEXT NOT NULL CHECK (role IN ('owner', 'viewer')),
	created INTEGER NOT NULL
) STRICT;

-- A login. The id is random and stands in the access token, so that a login can be ended.
CREATE TABLE session (
	session_id TEXT PRIMARY KEY,
	user_id INTEGER NOT NULL REFERENCES user (user_id) ON DELETE CASCADE,
	created INTEGER NOT NULL,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- For programs: only a hash of the token is kept.
CREATE TABLE token (
	token_id INTEGER PRIMARY KEY AUTOINCREMENT,
	user_id INTEGER NOT NULL REFERENCES user (user_id) ON DELETE CASCADE,
	name TEXT NOT NULL,
	token_hash TEXT NOT NULL UNIQUE,
	role TEXT NOT NULL CHECK (role IN ('owner', 'viewer')),
	created INTEGER NOT NULL,
	expires INTEGER,
	last_used INTEGER
) STRICT;

-- Who allowed what, and when. The newest row counts; none is ever changed.
CREATE TABLE consent (
	consent_id INTEGER PRIMARY KEY AUTOINCREMENT,
	timestamp INTEGER NOT NULL,
	username TEXT NOT NULL, -- as it was then: a record outlives the user
	video INTEGER NOT NULL,
	audio INTEGER NOT NULL,
	retention_days INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE alert_config (
	config_id INTEGER PRIMARY KEY AUTOINCREMENT,
	user_id INTEGER NOT NULL REFERENCES user (user_id) ON DELETE CASCADE,
	pet_id INTEGER REFERENCES pet (pet_id) ON DELETE CASCADE, -- NULL: all pets
	no_event_threshold INTEGER NOT NULL CHECK (no_event_threshold > 0), -- minutes
	quiet_from INTEGER, -- minutes of the local day; both NULL: never quiet
	quiet_to INTEGER,
	channels TEXT NOT NULL DEFAULT '', -- names, a space between
	created INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX alert_config_one ON alert_config (user_id, ifnull(pet_id, 0));

CREATE TABLE alert (
	alert_id INTEGER PRIMARY KEY AUTOINCREMENT,
	config_id INTEGER REFERENCES alert_config (config_id) ON DELETE SET NULL,
	pet_id INTEGER REFERENCES pet (pet_id) ON DELETE SET NULL,
	kind TEXT NOT NULL,
	camera TEXT NOT NULL DEFAULT '',
	message TEXT NOT NULL DEFAULT '',
	raised INTEGER NOT NULL,
	ended INTEGER, -- NULL: goes on
	acknowledged INTEGER -- NULL: not yet
) STRICT;

-- Files that are to go: the row is committed before the unlink and dropped after it, so that
-- a start finishes what a crash interrupted.
CREATE TABLE garbage (
	garbage_id INTEGER PRIMARY KEY,
	path TEXT NOT NULL UNIQUE, -- from the data root
	created INTEGER NOT NULL
) STRICT;

-- "Why was this deleted?"
CREATE TABLE deletion_log (
	deletion_id INTEGER PRIMARY KEY AUTOINCREMENT,
	timestamp INTEGER NOT NULL,
	recording_id INTEGER NOT NULL,
	camera TEXT NOT NULL,
	path TEXT NOT NULL,
	recorded INTEGER NOT NULL, -- the recording's timestamp
	duration INTEGER,
	bytes INTEGER NOT NULL,
	reason TEXT NOT NULL
) STRICT;

CREATE TABLE setting (
	key TEXT PRIMARY KEY, -- 'storage_uuid', 'retention_days'
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
