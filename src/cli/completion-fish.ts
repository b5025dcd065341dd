// Completion for fish 3: one line for each word that may stand somewhere, with the condition under which it may.

import { unreachable } from "../assert.ts";
import { families, firstWords, secondWords, type KnownCommand, type Place } from "./completion.ts";

/** The script, to be sourced or put into ~/.config/fish/completions. */
export function fishScript(known: readonly KnownCommand[]): string {
  return `# Completion of rivulet for fish. Now: rivulet completion fish | source
# For good: rivulet completion fish > ~/.config/fish/completions/rivulet.fish

function __rivulet_words
  set -l words (commandline -opc)
  set -e words[1]
  printf '%s\\n' $words
end

# The words so far are these and no more.
function __rivulet_only
  set -l line (string join -- ' ' (__rivulet_words))
  test "$line" = "$argv"
end

# The words so far begin with these.
function __rivulet_in
  set -l words (__rivulet_words)
  set -l count (count $argv)
  set -l line (string join -- ' ' $words[1..$count])
  test "$line" = "$argv"
end

function __rivulet_topics
  set -l limit
  type -q timeout; and set limit timeout 2
  $limit rivulet topics list 2>/dev/null </dev/null | string replace -r '\\t.*' ''
end

complete -c rivulet -f
${firstWords(known)
  .map(([word, sentence]) => offer("__rivulet_only", word, sentence))
  .join("\n")}
${offer("__rivulet_only", "--help --version", "")}
${families(known)
  .flatMap((family) => familyLines(known, family))
  .join("\n")}
${known.flatMap(commandLines).join("\n")}
`;
}

function familyLines(known: readonly KnownCommand[], family: string): readonly string[] {
  return secondWords(known, family).map(([word, sentence]) =>
    offer(`__rivulet_only ${family}`, word, sentence),
  );
}

function offer(condition: string, words: string, sentence: string): string {
  const description = sentence === "" ? "" : ` -d ${quoted(sentence)}`;
  return `complete -c rivulet -n '${condition}' -a '${words}'${description}`;
}

function commandLines({ name, flags, argument }: KnownCommand): readonly string[] {
  const start = `complete -c rivulet -n '__rivulet_in ${name}'`;
  return [
    ...flags.map(({ flag, why, value }) => {
      const takes = value === null ? "" : ` ${valueOf(value)}`;
      return `${start} -l ${flag}${takes} -d ${quoted(why)}`;
    }),
    ...(argument === null || argument.kind === "free" ? [] : [`${start} ${argumentOf(argument)}`]),
  ];
}

/** -x: a value is needed, and it is no file; -r -F: it is one. */
function valueOf(place: Place): string {
  return place.kind === "file"
    ? "-r -F"
    : `-x${place.kind === "free" ? "" : ` ${argumentOf(place)}`}`;
}

function argumentOf(place: Place): string {
  switch (place.kind) {
    case "words":
      return `-a '${place.words.join(" ")}'`;
    case "names":
      return `-a '${place.words.map((name) => `${name}=`).join(" ")}'`;
    case "directory":
      return "-a '(__fish_complete_directories)'";
    case "file":
      return "-F";
    case "topic":
      return "-a '(__rivulet_topics)'";
    case "free":
      return "";
    default:
      return unreachable(place);
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
