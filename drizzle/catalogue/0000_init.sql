CREATE TABLE `file` (
	`name` text PRIMARY KEY NOT NULL,
	`file_bytes` integer NOT NULL,
	`head` blob NOT NULL,
	`crc` integer NOT NULL
);
