// Renders the TEMPLATE of a Modelfile as Ollama does, and compares the prompts byte by byte.
//
//	go run scripts/dev/verify/modelfile/main.go FOLDER NAME...
//
// FOLDER has conversations.json, tools.json, and for each NAME a NAME.Modelfile and the prompts that our chat
// template writes, NAME.json. The fields are the ones that Ollama passes to a template since version 0.9.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"
	"text/template/parse"
)

type message struct {
	Role, Content, ToolName string
	ToolCalls               []call
}

type call struct{ Function called }

type called struct {
	Name      string
	Arguments map[string]any
}

type tool struct {
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Parameters  parameters `json:"parameters"`
}

type parameters struct {
	Type       string              `json:"type"`
	Required   []string            `json:"required,omitempty"`
	Properties map[string]property `json:"properties"`
}

// property marshals its fields in Ollama's order.
type property struct {
	AnyOf       []property `json:"anyOf,omitempty"`
	Type        kinds      `json:"type,omitempty"`
	Items       any        `json:"items,omitempty"`
	Description string     `json:"description,omitempty"`
	Enum        []any      `json:"enum,omitempty"`
}

// kinds is a type, or a list of several.
type kinds []string

func (k *kinds) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*k = kinds{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(k))
}

func (k kinds) MarshalJSON() ([]byte, error) {
	if len(k) == 1 {
		return json.Marshal(k[0])
	}
	return json.Marshal([]string(k))
}

// conversation is a row of conversations.json.
type conversation struct {
	Messages []struct {
		Role, Content, Name string
		ToolCalls           []called `json:"tool_calls"`
	}
	Tools []string
}

func main() {
	folder := os.Args[1]
	var conversations map[string]conversation
	var tools []tool
	read(filepath.Join(folder, "conversations.json"), &conversations)
	read(filepath.Join(folder, "tools.json"), &tools)
	wrong := 0
	for _, name := range os.Args[2:] {
		wrong += compare(folder, name, conversations, tools)
	}
	if wrong > 0 {
		fail("FAILED: %d prompts are not those of our chat template", wrong)
	}
}

func compare(folder, name string, conversations map[string]conversation, tools []tool) (wrong int) {
	var prompts map[string]string
	read(filepath.Join(folder, name+".json"), &prompts)
	t := parsed(filepath.Join(folder, name+".Modelfile"))
	if tag := textOfCalls(t.Tree.Root); !strings.HasPrefix(tag, "<tool_call>") {
		fail("FAILED: %s: Ollama would look for calls behind %q", name, tag)
	}
	names := make([]string, 0, len(conversations))
	for kind := range conversations {
		names = append(names, kind)
	}
	sort.Strings(names)
	for _, kind := range names {
		var text strings.Builder
		if err := t.Execute(&text, values(conversations[kind], tools)); err != nil {
			fail("FAILED: %s: %s: %v", name, kind, err)
		}
		if text.String() == prompts[kind] {
			fmt.Printf("%s: %s: the same %d bytes\n", name, kind, text.Len())
			continue
		}
		wrong++
		fmt.Printf("%s: %s: differs\n  in Go: %q\n  ours:  %q\n", name, kind, text.String(), prompts[kind])
	}
	return wrong
}

// values are the fields that Ollama passes to a template.
func values(row conversation, tools []tool) map[string]any {
	var messages []*message
	var system []string
	for _, m := range row.Messages {
		if m.Role == "system" {
			system = append(system, m.Content)
		}
		var calls []call
		for _, c := range m.ToolCalls {
			calls = append(calls, call{c})
		}
		messages = append(messages, &message{m.Role, m.Content, m.Name, calls})
	}
	var offered []tool
	for _, name := range row.Tools {
		for _, t := range tools {
			if t.Function.Name == name {
				offered = append(offered, t)
			}
		}
	}
	return map[string]any{
		"System": strings.Join(system, "\n\n"), "Messages": messages, "Tools": offered, "Response": "",
		"Think": false, "IsThinkSet": false,
	}
}

func parsed(file string) *template.Template {
	bytes, err := os.ReadFile(file)
	if err != nil {
		fail("%v", err)
	}
	_, behind, _ := strings.Cut(string(bytes), `TEMPLATE """`)
	source, _, found := strings.Cut(behind, `"""`)
	if !found {
		fail("%s: no TEMPLATE", file)
	}
	functions := template.FuncMap{"json": func(v any) string {
		text, _ := json.Marshal(v)
		return string(text)
	}}
	return template.Must(template.New("").Option("missingkey=zero").Funcs(functions).Parse(source))
}

// textOfCalls is the first text after `if .ToolCalls`, where Ollama finds out how a call begins.
func textOfCalls(list *parse.ListNode) string {
	if list == nil {
		return ""
	}
	for _, node := range list.Nodes {
		var branch *parse.BranchNode
		switch node := node.(type) {
		case *parse.IfNode:
			if strings.Contains(node.Pipe.String(), ".ToolCalls") {
				return firstText(node.List)
			}
			branch = &node.BranchNode
		case *parse.RangeNode:
			branch = &node.BranchNode
		default:
			continue
		}
		if text := textOfCalls(branch.List) + textOfCalls(branch.ElseList); text != "" {
			return text
		}
	}
	return ""
}

// firstText stops at anything that is neither text nor a loop.
func firstText(list *parse.ListNode) string {
	for _, node := range list.Nodes {
		switch node := node.(type) {
		case *parse.TextNode:
			if text := strings.TrimSpace(string(node.Text)); text != "" {
				return text
			}
		case *parse.RangeNode:
			return firstText(node.List)
		default:
			return ""
		}
	}
	return ""
}

func read(file string, into any) {
	bytes, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(bytes, into)
	}
	if err != nil {
		fail("%s: %v", file, err)
	}
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}
