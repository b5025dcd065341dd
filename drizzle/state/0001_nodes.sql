CREATE TABLE `nodes` (
	`node_id` integer PRIMARY KEY NOT NULL,
	`state` text NOT NULL,
	`version` text NOT NULL,
	`http` text,
	`peer_host` text,
	`peer_port` integer,
	`region` text,
	`registered_at` integer NOT NULL,
	`removed_at` integer
);
