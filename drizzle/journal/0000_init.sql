CREATE TABLE `entry` (
	`lsn` integer PRIMARY KEY NOT NULL,
	`replica` integer NOT NULL,
	`idx` integer NOT NULL,
	`term` integer NOT NULL,
	`kind` integer NOT NULL,
	`base_offset` integer NOT NULL,
	`offset_count` integer NOT NULL,
	`time` integer NOT NULL,
	`max_timestamp` integer NOT NULL,
	`crc` integer NOT NULL,
	`batch_crc` integer NOT NULL,
	`meta` blob,
	`batch` blob
);
