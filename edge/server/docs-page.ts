// GET /docs: the OpenAPI document as a page that a person reads. No script, no file from elsewhere, nothing written twice.
//
// Promise: all that the page says comes out of the document; every text is escaped; it is readable without colours and
// on a narrow screen. Routes by topic id are named once, not listed again.

import type { Schema } from "../contract/schema.ts";

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Schema;
}
interface Content {
  readonly [mediaType: string]: { readonly schema?: Schema };
}
interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content?: Content }>
  >;
}
export interface ShownDocument {
  readonly info: { readonly title: string; readonly version: string; readonly summary: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

interface Shown {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

/** The whole page. */
export function docsPage(document: ShownDocument): string {
  const { info, components } = document;
  const shown = operationsOf(document);
  const schemas = Object.entries(components.schemas);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(info.title)} ${escape(info.version)}: HTTP</title><style>${style}</style></head>
<body><nav><h2>Routes</h2>${shown.map(link).join("")}<h2>Shapes</h2>${schemas.map(([name]) => `<a href="#${escape(name)}">${escape(name)}</a>`).join("")}</nav>
<main><h1>${escape(info.title)} <small>${escape(info.version)}</small></h1>
<p>${escape(info.summary)}. This page is <a href="/v1/openapi.json">/v1/openapi.json</a> in words.
Every route under <code>/v1/topics/{topic}</code> exists a second time under <code>/v1/topic-ids/{topicId}</code>.</p>
<pre>${escape(firstSteps)}</pre>
<p>Every route takes ${everywhere(shown)
    .map((name) => `<code>${escape(name)}</code>`)
    .join(
      ", ",
    )}. What is not answered as listed is answered as a <a href="#Problem">Problem</a>.</p>
${shown.map((one) => section(one, everywhere(shown))).join("\n")}
<h2>Shapes</h2>
${schemas.map(([name, schema]) => `<section id="${escape(name)}"><h3>${escape(name)}</h3>${schemaText(schema)}</section>`).join("\n")}
</main></body></html>
`;
}

const firstSteps = `curl --json '{"records":[{"key":"o-1","value":"hello"}]}' http://127.0.0.1:7480/v1/topics/orders/records
curl http://127.0.0.1:7480/v1/topics/orders/records
curl -N 'http://127.0.0.1:7480/v1/topics/orders/tail?from=earliest'`;

function operationsOf({ paths }: ShownDocument): readonly Shown[] {
  return Object.entries(paths)
    .filter(([path]) => !path.startsWith("/v1/topic-ids/"))
    .flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path,
        operation,
      })),
    );
}

/** Names of the parameters that all routes have. */
function everywhere(shown: readonly Shown[]): readonly string[] {
  const names = shown.map(({ operation }) => operation.parameters.map(({ name }) => name));
  return (names[0] ?? []).filter((name) => names.every((list) => list.includes(name)));
}

function link({ method, path, operation }: Shown): string {
  return `<a href="#${escape(operation.operationId)}"><b class="${method}">${method}</b> ${breakable(path)}</a>`;
}

function section({ method, path, operation }: Shown, known: readonly string[]): string {
  const { operationId, summary, parameters, requestBody, responses } = operation;
  const body = requestBody === undefined ? "" : `<h4>Body</h4>${contentText(requestBody.content)}`;
  const own = parameters.filter(({ name }) => !known.includes(name));
  const listed = Object.entries(responses).filter(([status]) => status !== "default");
  const answers = listed.map(
    ([status, answer]) =>
      `<tr><td><code>${escape(status)}</code></td><td>${escape(clip(answer.description))}${contentText(answer.content ?? {})}</td></tr>`,
  );
  return `<section id="${escape(operationId)}"><h3><b class="${method}">${method}</b> <code>${breakable(path)}</code></h3>
<p>${escape(summary)}</p>${parametersText(own)}${body}<h4>Answers</h4><table>${answers.join("")}</table></section>`;
}

function parametersText(parameters: readonly Parameter[]): string {
  if (parameters.length === 0) return "";
  const rows = parameters.map(
    ({ name, in: place, required, schema, description }) =>
      `<tr><td><code>${escape(name)}</code></td><td>${escape(place)}${required === true ? ", required" : ""}</td><td>${typeText(schema)}${description === undefined ? "" : `<p>${escape(description)}</p>`}</td></tr>`,
  );
  return `<h4>Parameters</h4><table>${rows.join("")}</table>`;
}

function contentText(content: Content): string {
  return Object.entries(content)
    .map(([type, { schema }]) => {
      const shape = schema === undefined ? "" : `: ${typeText(schema)}`;
      return `<div><code>${escape(type)}</code>${shape}</div>`;
    })
    .join("");
}

/** An object's fields as a table; anything else as its type. */
function schemaText(schema: Schema): string {
  const { properties, required = [], description, anyOf } = schema;
  const words = description === undefined ? "" : `<p>${escape(description)}</p>`;
  if (anyOf !== undefined) return `${words}${anyOf.map(schemaText).join("<p>or</p>")}`;
  if (properties === undefined) return `${words}<p>${typeText(schema)}</p>`;
  const rows = Object.entries(properties).map(
    ([name, member]) =>
      `<tr><td><code>${escape(name)}</code></td><td>${required.includes(name) ? "" : "optional"}</td><td>${typeText(member)}${member.description === undefined ? "" : `<p>${escape(member.description)}</p>`}</td></tr>`,
  );
  return `${words}<table>${rows.join("")}</table>`;
}

/** One line: the type, its bounds, its default. */
function typeText(schema: Schema): string {
  const { $ref, type, anyOf, items, minimum, maximum, pattern } = schema;
  if ($ref !== undefined) {
    const name = $ref.slice($ref.lastIndexOf("/") + 1);
    return `<a href="#${escape(name)}">${escape(name)}</a>`;
  }
  if (anyOf !== undefined) return anyOf.map(typeText).join(" or ");
  const of = items === undefined ? "" : ` of ${typeText(items)}`;
  const facts = [
    schema.enum === undefined ? null : clip(schema.enum.join(" | ")),
    minimum === undefined ? null : `from ${minimum}`,
    maximum === undefined ? null : `to ${maximum}`,
    pattern === undefined ? null : pattern,
    schema.default === undefined ? null : `default ${schema.default}`,
  ].filter((fact) => fact !== null);
  const name = type === undefined ? "any JSON" : [type].flat().join(" or ");
  return `${escape(name)}${of}${facts.length === 0 ? "" : ` <i>${escape(facts.join(", "))}</i>`}`;
}

/** A list of all codes is in the shape of problems already. */
function clip(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 300)} ...`;
}

/** A long path may break behind its slashes. */
function breakable(path: string): string {
  return escape(path).replaceAll("/", "/<wbr>");
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (found) => entities[found]);
}

const style = `
:root{color-scheme:light dark;--line:#8884;--dim:light-dark(#5b6270,#a3aab8)}
*{box-sizing:border-box}
body{margin:0;font:15px/1.5 system-ui,sans-serif;display:grid;grid-template-columns:19rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1rem;border-right:1px solid var(--line);font-size:13px}
nav a{display:block;padding:.15rem 0;color:inherit;text-decoration:none;overflow-wrap:anywhere}
nav a:hover{text-decoration:underline}
nav h2{font-size:.8rem;text-transform:uppercase;color:var(--dim);margin:1rem 0 .3rem}
main{padding:1rem 2rem 6rem;max-width:60rem}
h1 small{font-size:1rem;color:var(--dim);font-weight:400}
h3{margin:0;font-size:1.05rem;overflow-wrap:anywhere}
h4{margin:.8rem 0 .2rem;font-size:.8rem;text-transform:uppercase;color:var(--dim)}
section{border-top:1px solid var(--line);padding:1.2rem 0;scroll-margin-top:1rem}
section p{margin:.2rem 0}
table{border-collapse:collapse;width:100%}
td{border-top:1px solid var(--line);padding:.3rem .8rem .3rem 0;vertical-align:top;overflow-wrap:anywhere}
td:first-child{width:13rem}
td:nth-child(2):not(:last-child){width:7rem;color:var(--dim)}
td p{margin:0;color:var(--dim)}
td i{color:var(--dim);font-style:normal;font-size:.9em}
pre{background:#8882;padding:1rem;overflow:auto;border-radius:6px}
code,pre{font:13px/1.5 ui-monospace,monospace}
b{font:700 11px ui-monospace,monospace;padding:.1rem .35rem;border-radius:4px;color:#fff;background:#666}
b.GET{background:#2563a8}b.POST{background:#24794a}b.PUT{background:#9a5b13}b.PATCH{background:#7a4a9c}b.DELETE{background:#a83232}
@media(max-width:50rem){body{display:block}nav{position:static;height:auto;border:0}main{padding:1rem}td:first-child{width:auto}}
`;
