// Completion for bash 3.2 and later, without the bash-completion package.
//
//   rivulet topics create orders --set retention.ms=
//   |       |------------|       |---| |------------|
//   0       command              flag  word under the cursor; bash parts words at "=", so "--flag=x" is three words

import { unreachable } from "../assert.ts";
import { families, firstWords, secondWords, type KnownCommand, type Place } from "./completion.ts";

/** The script, to be read by `eval` or from a file of completions. */
export function bashScript(known: readonly KnownCommand[]): string {
  return `# Completion of rivulet for bash. Now: eval "$(rivulet completion bash)". For good: put that line into ~/.bashrc.

_rivulet_topics() {
  local limit=""
  if type timeout >/dev/null 2>&1; then limit="timeout 2"; fi
  $limit "\${COMP_WORDS[0]}" topics list \${1:+--prefix "$1"} 2>/dev/null </dev/null | cut -f1
}

_rivulet_words() {
  COMPREPLY=($(compgen -W "$1" -- "$2"))
}

_rivulet() {
  local word="\${COMP_WORDS[COMP_CWORD]}" flag="\${COMP_WORDS[COMP_CWORD - 1]}"
  local command="\${COMP_WORDS[1]}" joined="" IFS=$' \\t\\n'
  COMPREPLY=()
  if [[ $word == "=" ]]; then
    joined=1 word=""
  elif [[ $flag == "=" ]]; then
    joined=1 flag="\${COMP_WORDS[COMP_CWORD - 2]}"
  fi
  if ((COMP_CWORD == 1)); then
    _rivulet_words "${words(firstWords(known))} --help --version" "$word"
    return
  fi
  case "$command" in
${families(known)
  .map((family) => familyCase(known, family))
  .join("\n")}
  esac
  case "$command $flag" in
${known.flatMap(valueCases).join("\n")}
  esac
  if [[ -n $joined ]]; then return; fi
  if [[ $word != -* ]]; then
    case "$command" in
${known.flatMap(argumentCase).join("\n")}
    esac
  fi
  case "$command" in
${known.map(flagsCase).join("\n")}
  esac
}

complete -F _rivulet rivulet
`;
}

function words(rows: readonly (readonly [string, string])[]): string {
  return rows.map(([word]) => word).join(" ");
}

function familyCase(known: readonly KnownCommand[], family: string): string {
  return `    ${family})
      if ((COMP_CWORD == 2)); then
        _rivulet_words "${words(secondWords(known, family))} --help" "$word"
        return
      fi
      command="$command \${COMP_WORDS[2]}"
      ;;`;
}

function valueCases({ name, flags }: KnownCommand): readonly string[] {
  return flags.flatMap(({ flag, value }) =>
    value === null ? [] : [`    "${name} --${flag}") ${actionOf(value)}return ;;`],
  );
}

function argumentCase({ name, argument }: KnownCommand): readonly string[] {
  return argument === null ? [] : [`      "${name}") ${actionOf(argument)}return ;;`];
}

function flagsCase({ name, flags }: KnownCommand): string {
  return `    "${name}") _rivulet_words "${flags.map(({ flag }) => `--${flag}`).join(" ")}" "$word" ;;`;
}

/** Commands that fill COMPREPLY; a bash without compopt does without what it adds. */
function actionOf(place: Place): string {
  switch (place.kind) {
    case "words":
      return `_rivulet_words "${place.words.join(" ")}" "$word"; `;
    case "names":
      return `_rivulet_words "${place.words.map((name) => `${name}=`).join(" ")}" "$word"; compopt -o nospace 2>/dev/null; `;
    case "directory":
      return `compopt -o filenames 2>/dev/null; IFS=$'\\n'; COMPREPLY=($(compgen -d -- "$word")); `;
    case "file":
      return `compopt -o filenames 2>/dev/null; IFS=$'\\n'; COMPREPLY=($(compgen -f -- "$word")); `;
    case "topic":
      return `_rivulet_words "$(_rivulet_topics "$word")" "$word"; `;
    case "free":
      return "";
    default:
      return unreachable(place);
  }
}
