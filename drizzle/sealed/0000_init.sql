CREATE TABLE `entry` (
	`position` integer PRIMARY KEY NOT NULL,
	`lsn` integer NOT NULL,
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
--> statement-breakpoint
CREATE INDEX `entry_by_index` ON `entry` (`replica`,`idx`);--> statement-breakpoint
CREATE INDEX `entry_by_offset` ON `entry` (`replica`,`base_offset`,`idx`,`term`,`kind`,`offset_count`,`max_timestamp`);--> statement-breakpoint
CREATE TABLE `head` (
	`id` integer PRIMARY KEY NOT NULL,
	`replaces` blob NOT NULL,
	`spans` integer NOT NULL,
	`entries` integer NOT NULL,
	`snapshots` integer NOT NULL,
	`crc` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `snapshot` (
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
--> statement-breakpoint
CREATE TABLE `span` (
	`replica` integer PRIMARY KEY NOT NULL,
	`group_id` text NOT NULL,
	`first_idx` integer NOT NULL,
	`last_idx` integer NOT NULL,
	`first_offset` integer NOT NULL,
	`next_offset` integer NOT NULL,
	`max_timestamp` integer NOT NULL,
	`bytes` integer NOT NULL,
	`first_position` integer NOT NULL,
	`rows` integer NOT NULL,
	`crc` integer NOT NULL
);
