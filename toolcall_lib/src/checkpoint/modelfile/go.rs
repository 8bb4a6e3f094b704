//! A layout in Go's template language, with the fields that Ollama gives to templates since 0.9.
//!
//! Ollama passes tools as structs and arguments as maps, and its JSON has no spaces. A model was
//! trained on JSON as Python writes it, so the template writes that: for the arguments of calls,
//! and for tools whose arguments have only a type, a list of values and a description, in the order
//! of transformers' `get_json_schema`. An argument with other fields becomes Ollama's JSON. Ollama
//! itself sorts names, and drops fields that it does not know, such as `default`.

use super::layout::Layout;

/// JSON as Python writes it, of an argument and of all arguments.
const VALUES: &str = r#"{{ define "object" }}{{ "{" }}{{ $more := false }}{{ range $key, $value := . }}{{ if $more }}, {{ end }}{{ printf "%q" $key }}: {{ template "value" $value }}{{ $more = true }}{{ end }}{{ "}" }}{{ end -}}
{{ define "list" }}[{{ range $i, $value := . }}{{ if $i }}, {{ end }}{{ template "value" $value }}{{ end }}]{{ end -}}
{{ define "value" }}{{ $type := printf "%T" . }}
{{- if eq $type "string" }}{{ printf "%q" . }}
{{- else if eq $type "map[string]interface {}" }}{{ template "object" . }}
{{- else if eq $type "[]interface {}" }}{{ template "list" . }}
{{- else }}{{ json . }}{{ end }}{{ end -}}
"#;

/// An argument of a tool; `json` shows whether it has more than the fields that are written.
const PROPERTY: &str = r#"{{ define "property" }}{{ $all := json . }}{{ $type := json .Type }}{{ $said := json .Description }}{{ $values := json .Enum }}
{{- if eq $all (printf `{"type":%s}` $type) }}{"type": {{ $type }}{{ "}" }}
{{- else if eq $all (printf `{"type":%s,"description":%s}` $type $said) }}{"type": {{ $type }}, "description": {{ printf "%q" .Description }}{{ "}" }}
{{- else if eq $all (printf `{"type":%s,"enum":%s}` $type $values) }}{"type": {{ $type }}, "enum": {{ template "list" .Enum }}{{ "}" }}
{{- else if eq $all (printf `{"type":%s,"description":%s,"enum":%s}` $type $said $values) }}{"type": {{ $type }}, "enum": {{ template "list" .Enum }}, "description": {{ printf "%q" .Description }}{{ "}" }}
{{- else }}{{ $all }}{{ end }}{{ end -}}
"#;

/// A tool.
const TOOL: &str = r#"{{ define "tool" }}{"type": "function", "function": {"name": {{ printf "%q" .Name }}, "description": {{ printf "%q" .Description }}, "parameters": {"type": {{ printf "%q" .Parameters.Type }}, "properties": {{ "{" }}
{{- $more := false }}{{ range $name, $property := .Parameters.Properties }}{{ if $more }}, {{ end }}{{ printf "%q" $name }}: {{ template "property" $property }}{{ $more = true }}{{ end }}{{ "}" }}
{{- if .Parameters.Required }}, "required": [{{ range $i, $name := .Parameters.Required }}{{ if $i }}, {{ end }}{{ printf "%q" $name }}{{ end }}]{{ end }}{{ "}}}" }}{{ end -}}
"#;

/// The template that writes this layout; `None` if a string of it cannot be in a Modelfile.
pub(super) fn template(layout: &Layout) -> Option<String> {
    let layout = layout.map(text);
    let template = [VALUES, PROPERTY, TOOL, &head(&layout), &turns(&layout)].concat();
    (!template.contains(r#"""""#)).then_some(template)
}

/// Escapes a string for use outside of actions.
fn text(text: &str) -> String {
    text.replace("{{", r#"{{ "{{" }}"#)
}

/// System text and tools.
fn head(layout: &Layout) -> String {
    let Layout {
        alone,
        system,
        system_to_tools,
        tools,
        between_tools,
        tools_end,
        end,
        ..
    } = layout;
    let find = r#"{{ $own := false }}{{ $said := "" -}}
{{ range $i, $message := .Messages }}{{ if and (eq $i 0) (eq $message.Role "system") }}{{ $own = true }}{{ $said = $message.Content }}{{ end }}{{ end -}}
"#;
    let first = format!(
        "{{{{ if $own }}}}{system}{{{{ $said }}}}{system_to_tools}{{{{ else }}}}{tools}{{{{ end }}}}"
    );
    let list = format!(
        r#"{{{{ range $i, $tool := .Tools }}}}{{{{ if $i }}}}{between_tools}{{{{ end }}}}{{{{ template "tool" $tool.Function }}}}{{{{ end }}}}"#
    );
    let without =
        format!("{{{{ else if $own }}}}{system}{{{{ $said }}}}{end}{{{{ else }}}}{alone}{{{{ end }}}}");
    format!("{find}{{{{ if .Tools }}}}{first}{list}{tools_end}{without}")
}

/// The turns. Ollama takes the text that a call begins with from the first text after `if
/// .ToolCalls`.
fn turns(layout: &Layout) -> String {
    let Layout {
        end,
        assistant,
        prompt,
        content_to_calls,
        call,
        between_calls,
        answers,
        answer_end,
        ..
    } = layout;
    let ([open, middle, close], [first, next]) = (call, answers);
    let begin = format!(
        r#"{{{{ $before := "" }}}}{{{{ range $i, $message := .Messages }}}}{{{{ $last := eq (len (slice $.Messages $i)) 1 -}}}}
{{{{ if and (eq $before "tool") (ne .Role "tool") }}}}{end}{{{{ end -}}}}
{{{{ if and $own (eq $i 0) -}}}}
"#
    );
    let answer = format!(
        r#"{{{{ else if eq .Role "tool" }}}}{{{{ if eq $before "tool" }}}}{next}{{{{ else }}}}{first}{{{{ end }}}}{{{{ .Content }}}}{answer_end}"#
    );
    let calls = format!(
        r#"{{{{ $calls := .ToolCalls }}}}{{{{ if and .Content $calls }}}}{content_to_calls}{{{{ end }}}}{{{{ if .ToolCalls }}}}{{{{ range $k, $call := .ToolCalls }}}}{open}{{{{ $call.Function.Name }}}}{middle}{{{{ template "object" $call.Function.Arguments }}}}{close}{{{{ if gt (len (slice $calls $k)) 1 }}}}{between_calls}{{{{ end }}}}{{{{ end }}}}{{{{ end }}}}"#
    );
    let said = format!(
        r#"{{{{ else if eq .Role "assistant" }}}}{assistant}{{{{ .Content }}}}{calls}{{{{ if not $last }}}}{end}{{{{ end }}}}"#
    );
    let other = format!(
        r#"{{{{ else }}}}<|im_start|>{{{{ .Role }}}}
{{{{ .Content }}}}{end}{{{{ end }}}}"#
    );
    let ask = format!(
        r#"{{{{ if and $last (ne .Role "assistant") }}}}{{{{ if eq .Role "tool" }}}}{end}{{{{ end }}}}{prompt}{{{{ end }}}}{{{{ $before = .Role }}}}{{{{ end }}}}"#
    );
    [begin, answer, said, other, ask].concat()
}
