// Completion for zsh 5: words come with their sentences.
//
// The script serves both ways in which zsh takes one: evaluated after compinit, or as a file _rivulet in $fpath.

import { unreachable } from "../assert.ts";
import { families, firstWords, secondWords, type KnownCommand, type Place } from "./completion.ts";

/** The script, to be read by `eval` or from a file named _rivulet. */
export function zshScript(known: readonly KnownCommand[]): string {
  return `#compdef rivulet
# Completion of rivulet for zsh. Now: eval "$(rivulet completion zsh)". For good: put that line into ~/.zshrc, behind compinit.

_rivulet_topics() {
  local -a limit topics
  if (( $+commands[timeout] )); then limit=(timeout 2); fi
  topics=(\${(f)"$($limit $words[1] topics list 2>/dev/null </dev/null | cut -f1)"})
  compadd -a topics
}

_rivulet() {
  local flag=$words[CURRENT-1] command=$words[2] word=$words[CURRENT]
  local -a rows
  if (( CURRENT == 2 )); then
    rows=(${described(firstWords(known))})
    _describe command rows
    return
  fi
  case $command in
${families(known)
  .map((family) => familyCase(known, family))
  .join("\n")}
  esac
  if [[ $word == --*=* ]]; then
    flag=\${word%%=*}
    compset -P 1 '*='
  fi
  case "$command $flag" in
${known.flatMap(valueCases).join("\n")}
  esac
  if [[ $word != -* ]]; then
    case $command in
${known.flatMap(argumentCase).join("\n")}
    esac
  fi
  case $command in
${known.map(flagsCase).join("\n")}
    (*) return ;;
  esac
  _describe -o option rows
}

if [[ $funcstack[1] == _rivulet ]]; then _rivulet "$@"; else compdef _rivulet rivulet; fi
`;
}

function familyCase(known: readonly KnownCommand[], family: string): string {
  return `    (${family})
      if (( CURRENT == 3 )); then
        rows=(${described(secondWords(known, family))})
        _describe command rows
        return
      fi
      command="$command $words[3]"
      ;;`;
}

function valueCases({ name, flags }: KnownCommand): readonly string[] {
  return flags.flatMap(({ flag, value }) =>
    value === null ? [] : [`    ("${name} --${flag}") ${actionOf(value)}return ;;`],
  );
}

function argumentCase({ name, argument }: KnownCommand): readonly string[] {
  return argument === null ? [] : [`      ("${name}") ${actionOf(argument)}return ;;`];
}

function flagsCase({ name, flags }: KnownCommand): string {
  return `    ("${name}") rows=(${described(flags.map(({ flag, why }) => [`--${flag}`, why]))}) ;;`;
}

/** 'word:sentence', as _describe takes them. */
function described(rows: readonly (readonly [string, string])[]): string {
  return rows
    .map(([word, sentence]) => `'${word}:${sentence.replaceAll("'", String.raw`'\''`)}'`)
    .join(" ");
}

function actionOf(place: Place): string {
  switch (place.kind) {
    case "words":
      return `compadd -- ${place.words.join(" ")}; `;
    case "names":
      return `compadd -S = -- ${place.words.join(" ")}; `;
    case "directory":
      return "_files -/; ";
    case "file":
      return "_files; ";
    case "topic":
      return "_rivulet_topics; ";
    case "free":
      return "";
    default:
      return unreachable(place);
  }
}
