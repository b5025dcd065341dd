#!/bin/sh
# Ships a log file as it grows, over rotations too: ship-logs.sh FILE TOPIC
tail -n +1 -F "$1" | rivulet produce "$2"
