CREATE TABLE `configs` (
	`resource_type` text NOT NULL,
	`resource` text NOT NULL,
	`name` text NOT NULL,
	`value` text,
	PRIMARY KEY(`resource_type`, `resource`, `name`)
);
--> statement-breakpoint
CREATE TABLE `partitions` (
	`topic_id` text NOT NULL,
	`partition` integer NOT NULL,
	`preferred_leader` integer NOT NULL,
	`replicas` text NOT NULL,
	PRIMARY KEY(`topic_id`, `partition`)
);
--> statement-breakpoint
CREATE TABLE `topics` (
	`topic_id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`partition_count` integer NOT NULL,
	`replication_factor` integer NOT NULL,
	`internal` integer NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `topics_name_unique` ON `topics` (`name`);