// What a server in Go acts on. `struct` decodes as servers with typed messages do: keys fold, nested structs merge, the
// last value stays, and a value of another type is passed over. `map` decodes into maps.
//
// stdin: frames of a length (four bytes, big-endian) and a body; the length 0xFFFFFFFF asks to write out what is held
// back. stdout: one line a body, as `interpreters.rs` describes.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"unicode/utf16"
)

type message struct {
	Method json.RawMessage `json:"method"`
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
	Params struct {
		Name json.RawMessage `json:"name"`
		URI  json.RawMessage `json:"uri"`
		Ref  struct {
			Type json.RawMessage `json:"type"`
			Name json.RawMessage `json:"name"`
			URI  json.RawMessage `json:"uri"`
		} `json:"ref"`
		TaskID json.RawMessage `json:"taskId"`
		Meta   struct {
			Version json.RawMessage `json:"io.modelcontextprotocol/protocolVersion"`
		} `json:"_meta"`
		Notifications struct {
			Resources json.RawMessage `json:"resourceSubscriptions"`
			Tasks     json.RawMessage `json:"taskIds"`
		} `json:"notifications"`
	} `json:"params"`
}

// A member of any kind, as `any` or still as text.
func value(member any) any {
	raw, isText := member.(json.RawMessage)
	if !isText {
		return member
	}
	var decoded any
	if json.Unmarshal(raw, &decoded) != nil {
		return nil
	}
	return decoded
}

func text(member any) string {
	text, isString := value(member).(string)
	if !isString {
		return "-"
	}
	units := utf16.Encode([]rune(text))
	encoded := make([]byte, 2*len(units))
	for i, unit := range units {
		binary.LittleEndian.PutUint16(encoded[2*i:], unit)
	}
	return "s" + hex.EncodeToString(encoded)
}

func list(member any) string {
	items, isList := value(member).([]any)
	if !isList {
		return "-"
	}
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = text(item)
	}
	return "[" + strings.Join(texts, "+") + "]"
}

func identifier(given bool, member any) string {
	if !given {
		return "-"
	}
	if text := text(member); text != "-" {
		return text
	}
	return "n"
}

func answers(given bool) string {
	if given {
		return "a"
	}
	return "-"
}

func typed(m message) string {
	p := m.Params
	return strings.Join([]string{
		text(m.Method), identifier(m.ID != nil, m.ID), answers(m.Result != nil || m.Error != nil),
		text(p.Name), text(p.URI), text(p.Ref.Type), text(p.Ref.Name), text(p.Ref.URI), text(p.TaskID),
		text(p.Meta.Version), list(p.Notifications.Resources), list(p.Notifications.Tasks),
	}, ",")
}

func untyped(m any) string {
	member := func(object any, key string) any {
		members, _ := object.(map[string]any)
		return members[key]
	}
	given := func(key string) bool {
		members, _ := m.(map[string]any)
		_, found := members[key]
		return found
	}
	p := member(m, "params")
	ref, notifications := member(p, "ref"), member(p, "notifications")
	return strings.Join([]string{
		text(member(m, "method")), identifier(given("id"), member(m, "id")),
		answers(given("result") || given("error")),
		text(member(p, "name")), text(member(p, "uri")),
		text(member(ref, "type")), text(member(ref, "name")), text(member(ref, "uri")), text(member(p, "taskId")),
		text(member(member(p, "_meta"), "io.modelcontextprotocol/protocolVersion")),
		list(member(notifications, "resourceSubscriptions")), list(member(notifications, "taskIds")),
	}, ",")
}

// One message or a batch of them, each read by `read`.
func line[T any](body []byte, read func(T) string) string {
	lenient := func(err error) bool {
		var otherType *json.UnmarshalTypeError
		return err == nil || errors.As(err, &otherType)
	}
	if bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		var batch []T
		if !lenient(json.Unmarshal(body, &batch)) {
			return "!\n"
		}
		readings := make([]string, len(batch))
		for i, m := range batch {
			readings[i] = read(m)
		}
		return "B:" + strings.Join(readings, ";") + "\n"
	}
	var single T
	if !lenient(json.Unmarshal(body, &single)) {
		return "!\n"
	}
	return "O:" + read(single) + "\n"
}

func main() {
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriterSize(os.Stdout, 1<<20)
	for {
		var length uint32
		if binary.Read(in, binary.BigEndian, &length) != nil {
			return
		}
		if length == 0xFFFFFFFF {
			out.Flush()
			continue
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		if os.Args[1] == "struct" {
			out.WriteString(line(body, typed))
		} else {
			out.WriteString(line(body, untyped))
		}
	}
}
