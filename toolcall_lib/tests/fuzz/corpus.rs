//! Inputs that once caused trouble, and similar ones: each with the target that reads it and the
//! expected answer.

use super::targets::{TARGETS, check_message, timer_tool};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::{Message, ToolCall, ToolSchema};

/// Runs the target on the input in bounded time; returns its error, or None if it accepts the
/// input.
#[track_caller]
fn assert_bounded(target: &str, what: &str, input: &[u8]) -> String {
    let target = TARGETS.iter().find(|known| known.name == target).unwrap();
    let (folder, started) = (tempfile::tempdir().unwrap(), Instant::now());
    let answer = (target.read)(folder.path(), input).inspect_err(check_message);
    let taken = started.elapsed();
    assert!(taken < Duration::from_secs(120), "{what}: {taken:?}");
    answer.map_or_else(|error| error.to_string(), |()| String::new())
}

/// Fails unless the target refuses the input with these words, or accepts it if they are None.
#[track_caller]
fn assert_answer(target: &str, what: &str, input: &[u8], says: &[&str]) {
    let text = assert_bounded(target, what, input);
    assert_eq!(says.is_empty(), text.is_empty(), "{what}: {text}");
    for part in says {
        assert!(text.contains(part), "{what}: `{part}` is not in: {text}");
    }
}

/// Renders once: a template that uses all of its budget does so at each try.
#[track_caller]
fn template(what: &str, source: &str, says: &[&str]) {
    let rendered = ChatTemplate::new(source, &Map::new())
        .and_then(|template| template.render_prompt(&[Message::user("hi")], &[]))
        .inspect_err(check_message);
    let text = rendered.map_or_else(|error| error.to_string(), |_| String::new());
    assert_eq!(says.is_empty(), text.is_empty(), "{what}: {text}");
    for part in says {
        assert!(text.contains(part), "{what}: `{part}` is not in: {text}");
    }
}

#[test]
fn templates_that_loop_recurse_pad_or_nest() {
    let fuel = "fuel";
    let set = "{% set ns = namespace(x=['a']) %}";
    let grow = format!("{set}{{% for i in range(60) %}}{{% set ns.x = [ns.x, ns.x] %}}{{% endfor %}}");
    let deep = format!("{set}{{% for i in range(9000) %}}{{% set ns.x = [ns.x] %}}{{% endfor %}}");
    for (what, source, says) in [
        (
            "loops",
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            fuel,
        ),
        (
            "doubles",
            "{% set ns = namespace(x='aaaaaaaa') %}{% for b in range(999) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            fuel,
        ),
        (
            "recurses",
            "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}",
            "recursion limit",
        ),
        (
            "recurses in a loop",
            "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
            "recursion limit",
        ),
        (
            "includes itself",
            "{% include 'chat template' %}",
            "recursion limit",
        ),
        ("pads", "{{ 'a' * 10000000000 }}", fuel),
        (
            "pads JSON",
            "{{ messages | tojson(indent=10000000000) }}",
            "the indent of tojson is too long",
        ),
        ("pads a format", "{{ '%10000000000s' | format('a') }}", fuel),
        ("pads a method", "{{ '{:>10000000000}'.format('a') }}", ""),
        (
            "repeats a list",
            "{{ ([1] * 10000000000) ~ '' }}",
            "sequence is too large",
        ),
        (
            "repeats repetitions",
            "{{ [[[1] * 9999] * 9999] * 9999 == [1] }}",
            fuel,
        ),
        (
            "replaces",
            "{% set x = 'a' * 1000000 %}{{ x.replace('a', x) }}",
            fuel,
        ),
        (
            "joins",
            "{% set x = 'a' * 1000000 %}{{ x.join(range(90000)) }}",
            fuel,
        ),
        (
            "splits",
            "{% set x = 'a' * 10000000 %}{{ x.split('a') | length }}",
            fuel,
        ),
        ("doubles lists", &format!("{grow}{{{{ ns.x }}}}"), fuel),
        (
            "doubles lists without a loop",
            &("{% set x = [x, x] %}".repeat(60) + "{{ x ~ '' }}"),
            fuel,
        ),
        (
            "doubles tuples",
            &("{% set x = x, x %}".repeat(60) + "{{ x | tojson }}"),
            fuel,
        ),
        (
            "doubles maps",
            &("{% set x = {'a': x, 'b': x} %}".repeat(60) + "{{ x == x }}"),
            fuel,
        ),
        (
            "doubles calls",
            &("{% set x = dict(a=x, b=x) %}".repeat(60) + "{{ x | string }}"),
            fuel,
        ),
        (
            "adds lists",
            &format!(
                "{set}{}{{{{ ns.x ~ '' }}}}",
                "{% set ns.x = ns.x + ns.x %}".repeat(60)
            ),
            fuel,
        ),
        (
            "holds a large list often",
            &format!(
                "{set}{{% set x = ['a' * 9999] * 99 %}}{}{{{{ ns ~ '' }}}}",
                (0..400)
                    .map(|i| format!("{{% set ns.x{i} = x %}}"))
                    .collect::<String>()
            ),
            fuel,
        ),
        (
            "is held by itself",
            &format!("{set}{{% set ns.x = ns %}}{{{{ ns }}}}"),
            "a namespace cannot be put into",
        ),
        (
            "is held by a list of itself",
            &format!("{set}{{% set ns.x = [ns] %}}{{{{ ns }}}}"),
            "a namespace cannot be put into",
        ),
        (
            "nests",
            &format!("{deep}{{{{ ns.x | length }}}}"),
            "nested too deeply",
        ),
        (
            "nests batches",
            &format!(
                "{set}{{% set x = ns.x{} %}}{{{{ x ~ '' }}}}",
                "|batch(1)|list".repeat(5_000)
            ),
            "nested too deeply",
        ),
        (
            "nests parentheses",
            &format!("{{{{ {}1{} }}}}", "(".repeat(50_000), ")".repeat(50_000)),
            "recursion",
        ),
        ("is long", &"a".repeat(200_000), "expected at most 131072"),
        ("refuses", "{{ raise_exception('no\u{1b}[2J') }}", "no\\u{1b}[2J"),
    ] {
        template(what, source, &[says]);
    }
    for (what, source) in [
        ("chains filters", format!("{{{{ 1{} }}}}", "|int".repeat(25_000))),
        ("chains sums", format!("{{{{ 1{} }}}}", "+1".repeat(50_000))),
        (
            "chains conditions",
            format!("{{{{ {}1 }}}}", "1 if false else ".repeat(6_000)),
        ),
        (
            "chains branches",
            format!(
                "{{% if false %}}{}{{% endif %}}",
                "{% elif false %}".repeat(6_000)
            ),
        ),
    ] {
        template(what, &source, &[]);
    }
}

/// The limits are far above the needs of models' templates.
#[test]
fn long_conversations_are_within_the_limits() {
    let target = TARGETS.iter().find(|known| known.name == "template").unwrap();
    let (text, tools) = (
        "word ".repeat(80),
        vec![ToolSchema::new(timer_tool()).unwrap(); 50],
    );
    let call = ToolCall {
        id: Some("abcdefgh1".to_string()),
        ..ToolCall::new("start_timer", json!({"duration": 60})).unwrap()
    };
    let turns = [
        Message::user(&*text),
        Message::assistant_calls(vec![call]),
        Message::tool("start_timer", &*text),
        Message::assistant(&*text),
    ];
    let messages: Vec<Message> = turns.iter().cycle().take(500).cloned().collect();
    for source in (target.seeds)() {
        let source = str::from_utf8(&source).unwrap();
        let template = ChatTemplate::new(
            source,
            json!({"bos_token": "", "eos_token": ""}).as_object().unwrap(),
        );
        let template = template.unwrap();
        assert!(template.render_prompt(&messages, &tools).unwrap().len() > 100_000);
    }
}

fn tokenizer_with(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let target = TARGETS.iter().find(|known| known.name == "tokenizer").unwrap();
    let mut json: Value = serde_json::from_slice(&(target.seeds)()[1]).unwrap();
    change(&mut json);
    json.to_string().into_bytes()
}

#[test]
fn tokenizers_that_panic_grow_or_are_cut_short() {
    let replace =
        |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
    let sequence = |steps: Vec<Value>| json!({"type": "Sequence", "normalizers": steps});
    let whole = tokenizer_with(|_| {});
    assert_answer("tokenizer", "whole", &whole, &[]);
    for len in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        assert_answer(
            "tokenizer",
            "cut short",
            &whole[..len],
            &["tokenizer.json: ", "line"],
        );
    }
    let doubling = sequence(vec![replace(json!({"String": "a"}), "aa"); 60]);
    let anywhere = sequence(vec![replace(json!({"Regex": "(?:)"}), "aaaaaaaaaaaaaaaaaaaa"); 2]);
    let decoder = json!({"type": "Sequence", "decoders": vec![replace(json!({"String": "a"}), "aaaa"); 40]});
    let charsmap = |text: &str| json!({"type": "Precompiled", "precompiled_charsmap": text});
    for (what, place, step, says) in [
        (
            "doubles",
            "normalizer",
            doubling,
            "as long; expected at most 256 times",
        ),
        (
            "inserts",
            "normalizer",
            anywhere,
            "as long; expected at most 256 times",
        ),
        (
            "doubles what is decoded",
            "decoder",
            decoder,
            "as long; expected at most 256 times",
        ),
        (
            "prepends",
            "normalizer",
            json!({"type": "Prepend", "prepend": "a".repeat(5000)}),
            "in front of a text",
        ),
        (
            "claims a table",
            "normalizer",
            charsmap("/////2FiY2Q="),
            "precompiled_charsmap is damaged",
        ),
        (
            "holds no base64",
            "normalizer",
            charsmap("*"),
            "precompiled_charsmap is damaged",
        ),
    ] {
        assert_answer(
            "tokenizer",
            what,
            &tokenizer_with(|json| json[place] = step),
            &["tokenizer.json: ", place, says],
        );
    }
    let far = tokenizer_with(|json| json["model"]["vocab"]["ab"] = json!(i32::MAX));
    assert_answer(
        "tokenizer",
        "an id far away",
        &far,
        &["tokenizer.json: vocab", "2147483647"],
    );
    let no_table = tokenizer_with(|json| json["normalizer"] = charsmap("AAAAAA=="));
    assert_answer(
        "tokenizer",
        "an empty table",
        &no_table,
        &["tokenizer.json: it is damaged"],
    );
    let lengths = tokenizer_with(|json| json["pre_tokenizer"] = json!({"type": "FixedLength", "length": 0}));
    assert_answer("tokenizer", "a length of 0", &lengths, &["tokenizer.json: "]);
    let strip = tokenizer_with(|json| {
        json["decoder"] = json!({"type": "Strip", "content": "a", "start": 0, "stop": u64::MAX});
    });
    assert_answer(
        "tokenizer",
        "strips more than there is",
        &strip,
        &["it is damaged"],
    );
}

/// A GGUF header: tensors, entries, and the rest.
fn gguf(tensors: u64, entries: u64, rest: &[u8]) -> Vec<u8> {
    [
        b"GGUF",
        &3_u32.to_le_bytes()[..],
        &tensors.to_le_bytes(),
        &entries.to_le_bytes(),
        rest,
    ]
    .concat()
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn entry(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(name)[..], &kind.to_le_bytes(), value].concat()
}

#[test]
fn gguf_headers_that_lie() {
    let u32_entry = |name: &str, value: u32| entry(name, 4, &value.to_le_bytes());
    let list = |kind: u32, len: u64| [&kind.to_le_bytes()[..], &len.to_le_bytes()].concat();
    let tensor = |dimensions: &[u64]| {
        let shape: Vec<u8> = dimensions.iter().flat_map(|len| len.to_le_bytes()).collect();
        [
            &text("t")[..],
            &(dimensions.len() as u32).to_le_bytes(),
            &shape,
            &[0; 12],
        ]
        .concat()
    };
    for (what, input, says) in [
        (
            "empty",
            Vec::new(),
            ["model.gguf: header", "the file is truncated"],
        ),
        (
            "no GGUF",
            b"GGML\x03\0\0\0".to_vec(),
            ["model.gguf: header", "this is not a GGUF file"],
        ),
        (
            "a version",
            b"GGUF\x09\0\0\0".to_vec(),
            ["model.gguf: version", "9 is not supported"],
        ),
        (
            "2^60 entries",
            gguf(0, 1 << 60, &[]),
            ["model.gguf: metadata_kv_count", "expected at most 65536"],
        ),
        (
            "2^60 tensors",
            gguf(1 << 60, 0, &[]),
            ["model.gguf: tensor_count", "expected at most 65536"],
        ),
        (
            "alignment 0",
            gguf(0, 1, &u32_entry("general.alignment", 0)),
            ["model.gguf: general.alignment", "0 is not a power of two"],
        ),
        (
            "alignment 48",
            gguf(0, 1, &u32_entry("general.alignment", 48)),
            ["model.gguf: general.alignment", "48 is not a power"],
        ),
        (
            "alignment as text",
            gguf(0, 1, &entry("general.alignment", 8, &text("32"))),
            ["general.alignment", "is not an integer"],
        ),
        (
            "a long name",
            gguf(0, 1, &(1_u64 << 60).to_le_bytes()),
            ["name of a value", "expected at most 1024"],
        ),
        (
            "a long text",
            gguf(0, 1, &entry("a", 8, &(1_u64 << 60).to_le_bytes())),
            ["model.gguf: a", "the file is truncated"],
        ),
        (
            "a long list",
            gguf(0, 1, &entry("a", 9, &list(0, 1 << 60))),
            ["model.gguf: a", "elements are too many"],
        ),
        (
            "lists of lists",
            gguf(0, 1, &entry("a", 9, &list(9, 1))),
            ["model.gguf: a", "a list of lists"],
        ),
        (
            "a type",
            gguf(0, 1, &entry("a", 13, &[])),
            ["model.gguf: a", "its type 13 does not exist"],
        ),
        (
            "twice",
            gguf(0, 2, &[u32_entry("a", 1), u32_entry("a", 2)].concat()),
            ["model.gguf: a", "occurs twice in the metadata"],
        ),
        (
            "two tensors",
            gguf(2, 0, &[tensor(&[1]), tensor(&[1])].concat()),
            ["model.gguf: t", "occurs twice among the tensors"],
        ),
        (
            "a shape",
            gguf(1, 0, &tensor(&[1 << 40, 1 << 40])),
            ["model.gguf: t", "its shape is impossible"],
        ),
        (
            "no elements",
            gguf(1, 0, &tensor(&[0, 4])),
            ["model.gguf: t", "its shape is impossible"],
        ),
        (
            "dimensions",
            gguf(1, 0, &tensor(&[1; 9])),
            ["model.gguf: t", "9 dimensions"],
        ),
    ] {
        assert_answer("gguf", what, &input, &says);
    }
}

#[test]
fn tensors_of_a_gguf_file_that_share_bytes_are_refused() {
    let target = TARGETS.iter().find(|known| known.name == "gguf").unwrap();
    let mut file = (target.seeds)().remove(0);
    // the offset of one tensor becomes that of another: both are after their names, shapes and
    // types
    let place = |file: &[u8], name: &str| {
        let at = file
            .windows(name.len() + 8)
            .position(|bytes| bytes == text(name))
            .unwrap()
            + 8
            + name.len();
        at + 4 + 8 * u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize + 4
    };
    let (one, other) = (
        place(&file, "blk.0.ffn_up.weight"),
        place(&file, "blk.0.ffn_gate.weight"),
    );
    file.copy_within(one..one + 8, other);
    assert_answer(
        "gguf",
        "shared",
        &file,
        &["model.gguf: blk.0.ffn_", "shares bytes with"],
    );
    file[other..other + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_answer(
        "gguf",
        "far away",
        &file,
        &["model.gguf: blk.0.ffn_gate.weight", "the file ends too early"],
    );
}

#[test]
fn safetensors_headers_that_lie() {
    let with = |header: &str, len: u64| [&len.to_le_bytes()[..], header.as_bytes(), &[0; 64]].concat();
    let right = |header: &str| with(header, header.len() as u64);
    let tensor = |from: u64, to: u64| json!({"dtype": "F32", "shape": [4], "data_offsets": [from, to]});
    let overlap = json!({"a": tensor(0, 16), "b": tensor(8, 24)}).to_string();
    let far = json!({"a": tensor(1 << 60, (1 << 60) + 16)}).to_string();
    let gap = json!({"a": tensor(8, 24)}).to_string();
    let shape = json!({"a": {"dtype": "F32", "shape": [u64::MAX, 4], "data_offsets": [0, 16]}}).to_string();
    for (what, input) in [
        ("empty", Vec::new()),
        ("a long header", with("{}", 1 << 60)),
        ("a short header", with("{\"a\"", 2)),
        ("overlap", right(&overlap)),
        ("far away", right(&far)),
        ("a gap", right(&gap)),
        ("a shape", right(&shape)),
        ("deep", right(&"[".repeat(100_000))),
    ] {
        assert_answer(
            "safetensors",
            what,
            &input,
            &["model.safetensors: ", "damaged or not complete"],
        );
    }
}

fn tool(argument: Value) -> Value {
    let parameters = json!({"type": "object", "properties": {"x": argument}, "required": ["x"]});
    json!({"name": "f", "description": "", "parameters": parameters})
}

fn schema(what: &str, argument: Value, says: &[&str]) {
    assert_answer("schema", what, tool(argument).to_string().as_bytes(), says);
}

#[test]
fn schemas_that_take_long() {
    let listed = |count: usize| json!({"enum": (0..count).map(|i| format!("value {i}")).collect::<Vec<_>>()});
    let argument = ["schema of tool `f`", "argument `x`"];
    schema(
        "many values",
        listed(100_000),
        &[&argument[..], &["too large"]].concat(),
    );
    // It gets as far as the prompt, which contains the values too.
    schema(
        "as many values as are taken",
        listed(9_000),
        &["tokens, but prompt and reply together"],
    );
    for (what, parameters, says) in [
        (
            "a multiple",
            json!({"type": "integer", "multipleOf": 123456789}),
            "123456789 has too many digits",
        ),
        (
            "of a fraction",
            json!({"type": "number", "multipleOf": 0.123456789}),
            "0.123456789 has too many",
        ),
        (
            "two multiples",
            json!({"type": "integer", "multipleOf": 997, "allOf": [{"multipleOf": 991}]}),
            "991 and 997",
        ),
    ] {
        schema(
            what,
            parameters,
            &[&argument[..], &["`multipleOf`", says]].concat(),
        );
    }
    schema(
        "the largest multiple",
        json!({"type": "integer", "multipleOf": 997}),
        &[],
    );
    schema(
        "two small multiples",
        json!({"type": "integer", "multipleOf": 25, "allOf": [{"multipleOf": 36}]}),
        &[],
    );
    let mut nested = json!({"type": "string"});
    for _ in 0..50 {
        nested = json!({"type": ["array", "object", "null"], "items": nested});
    }
    schema("types of types", nested, &[]);
    let pattern = "^((((a{1,1000}){1,1000}){1,1000}){1,1000})$";
    schema(
        "a pattern",
        json!({"type": "string", "pattern": pattern}),
        &["schema of tool `f`", "pattern"],
    );
    for (what, parameters) in [
        (
            "long texts",
            json!({"type": "string", "minLength": 1_000_000_000_000_u64}),
        ),
        (
            "long lists",
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1_000_000_000_000_u64}),
        ),
    ] {
        let tool = tool(parameters);
        assert_bounded("schema", what, tool.to_string().as_bytes());
    }
    schema("names", json!({"enum": ["\u{1b}[2J\u{202e}"]}), &[]);
}

/// Returns a tool whose argument `x` is the first of some definitions. `link` makes each from a
/// reference to the next one, the last is a string.
fn chain(links: usize, link: impl Fn(&Value) -> Value) -> Value {
    let next = |i: usize| json!({"$ref": format!("#/$defs/d{i}")});
    let mut definitions: Map<String, Value> = (0..links)
        .map(|i| (format!("d{i}"), link(&next(i + 1))))
        .collect();
    definitions.insert(format!("d{links}"), json!({"type": "string"}));
    let parameters = json!({"type": "object", "properties": {"x": next(0)}, "$defs": definitions});
    json!({"name": "f", "description": "", "parameters": parameters})
}

#[test]
fn schemas_whose_references_multiply_or_go_deep() {
    let x = "schema of tool `f`: `function.parameters.properties.x`: ";
    let many = "more than 10000 schemas for one value";
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let twice = chain(31, |next| json!({keyword: [next, next]}));
        assert_answer("schema", keyword, twice.to_string().as_bytes(), &[x, many]);
    }
    let beside = chain(
        31,
        |next| json!({"not": next, "if": next, "then": next, "dependentSchemas": {"a": next}}),
    );
    assert_answer("schema", "beside", beside.to_string().as_bytes(), &[x, many]);
    for (what, links, says) in [
        (
            "a long chain",
            50_000,
            "the references lead to more than 1000 places",
        ),
        ("a chain", 900, "more than 100 schemas for one value"),
    ] {
        let chain = chain(links, Value::clone);
        assert_answer(
            "schema",
            what,
            chain.to_string().as_bytes(),
            &["schema of tool `f`", says],
        );
    }
    let circle = chain(
        1,
        |_| json!({"anyOf": [{"$ref": "#/$defs/d0"}, {"type": "null"}]}),
    );
    let says = [x, "a `$ref` leads back to itself"];
    assert_answer("schema", "a circle", circle.to_string().as_bytes(), &says);
}

#[test]
fn schemas_whose_values_go_deep() {
    let object = |next: &Value| json!({"type": "object", "properties": {"a": next}});
    let deep = chain(900, object);
    let says = [
        "schema of tool `f`: argument `x.a.a",
        "is more than 100 values deep",
    ];
    assert_answer("schema", "deep", deep.to_string().as_bytes(), &says);
    assert_answer(
        "schema",
        "less deep",
        chain(60, object).to_string().as_bytes(),
        &[],
    );
    // A union whose branches are compared reads them again at each step.
    let node = json!({"$ref": "#/$defs/node"});
    let branch =
        |more: Value| json!({"type": "object", "properties": {"a": node, "b": more}, "required": ["a"]});
    let union = json!({"oneOf": [branch(json!({})), branch(json!({"type": "string"}))]});
    let parameters = json!({"type": "object", "properties": {"x": node}, "$defs": {"node": union}});
    let tool = json!({"name": "f", "description": "", "parameters": parameters});
    assert_bounded("schema", "unions of unions", tool.to_string().as_bytes());
}

#[test]
fn calls_that_their_schema_looks_at_without_end() {
    let node = json!({"$ref": "#/$defs/node"});
    let tool = |definition: Value| {
        let parameters = json!({"type": "object", "properties": {"x": node}, "$defs": {"node": definition}});
        ToolSchema::new(json!({"name": "f", "parameters": parameters})).unwrap()
    };
    let nested = |depth: usize, leaf: Value, around: fn(Value) -> Value| {
        let value = (0..depth).fold(leaf, |value, _| around(value));
        json!({"x": value}).as_object().cloned().unwrap()
    };
    let (started, list): (Instant, fn(Value) -> Value) = (Instant::now(), |value| json!([value]));
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let twice = tool(json!({keyword: [{"items": node}, {"items": node, "minItems": 1}]}));
        let problems = twice.check(&nested(40, json!(5), list));
        assert_eq!((problems.len(), &*problems[0].0), (1, "x"), "{keyword}");
        assert!(
            problems[0].1.starts_with("cannot be checked: "),
            "{}",
            problems[0].1
        );
        if keyword != "oneOf" {
            assert_eq!(twice.check(&nested(8, json!(5), list)), [], "{keyword}");
        }
    }
    // A tree of conditions, as in real tools, may be as deep as JSON may.
    let tree = tool(json!({"anyOf": [
        {"type": "object", "properties": {"and": {"type": "array", "items": node}}, "required": ["and"]},
        {"type": "object", "properties": {"field": {"type": "string"}}, "required": ["field"]}
    ]}));
    let and = |value| json!({"and": [value, {"field": "b"}]});
    assert_eq!(tree.check(&nested(55, json!({"field": "a"}), and)), []);
    assert_eq!(tree.check(&nested(55, json!({"field": 1}), and)).len(), 1);
    assert!(
        started.elapsed() < Duration::from_secs(120),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn arguments_that_are_many_are_repaired_in_one_go() {
    const MANY: usize = 30_000;
    let parameters =
        json!({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "integer"}}}});
    let load = |rows: Value| {
        let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        std::fs::write(file.path(), rows.to_string()).unwrap();
        toolcall_lib::Dataset::load(file.path())
    };
    let row = |arguments: Value| {
        let call = json!([{"type": "function", "function": {"name": "f", "arguments": arguments}}]);
        json!({"messages": [{"role": "user", "content": "Go."}, {"role": "assistant", "tool_calls": call}],
            "tools": [{"name": "f", "parameters": parameters}]})
    };
    let started = Instant::now();
    // 1. Floats that are integers.
    let data = load(json!([row(json!({"l": vec![1.0; MANY]}))])).unwrap();
    assert_eq!(
        data.rows[0].messages[1].tool_calls[0].arguments["l"],
        json!(vec![1; MANY])
    );
    // 2. Nulls that no schema accepts.
    let nulls =
        |count: usize| -> Map<String, Value> { (0..count).map(|i| (format!("k{i}"), json!(null))).collect() };
    let data = load(json!([row(nulls(MANY).into())])).unwrap();
    assert!(data.rows[0].messages[1].tool_calls[0].arguments.is_empty());
    // 3. Nulls that Arrow left, and problems that are shortened.
    let mut full = nulls(MANY);
    full.values_mut().for_each(|value| *value = json!("x"));
    let error = load(json!([row(nulls(MANY).into()), row(full.into())])).unwrap_err();
    assert!(
        error.to_string().len() < 100_000,
        "{} bytes",
        error.to_string().len()
    );
    assert!(
        started.elapsed() < Duration::from_secs(120),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn rows_with_many_keys_are_read_in_one_go() {
    let row: Map<String, Value> = (0..100_000).map(|i| (format!("k{i}"), json!(i))).collect();
    let text = json!([row]).to_string();
    assert_answer(
        "dataset",
        "keys",
        text.as_bytes(),
        &["messages: missing; the row has `k0`"],
    );
}

#[test]
fn configs_that_ask_for_too_much() {
    let target = TARGETS.iter().find(|known| known.name == "configs").unwrap();
    let config: Value = serde_json::from_slice(&(target.seeds)()[0]).unwrap();
    for (field, value, says) in [
        (
            "max_position_embeddings",
            json!(1 << 24),
            "16777216 is not a size",
        ),
        ("max_position_embeddings", json!(0), "0 is not a size"),
        ("max_position_embeddings", json!(-1), "-1"),
        ("hidden_size", json!(u64::MAX), "is not a size"),
        ("num_hidden_layers", json!(1_000_000), "is not a size"),
        ("head_dim", json!(1 << 23), "are wider than"),
        ("vocab_size", json!(1.5), "1.5"),
        ("rms_norm_eps", json!(-1e300), "-1e300 is not a positive number"),
        ("rope_theta", json!(0), "is not a positive number"),
        (
            "rope_scaling",
            json!({"rope_type": "llama3", "factor": 0.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}),
            "its factor",
        ),
        (
            "rope_scaling",
            json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0}),
            "expected 0 <",
        ),
    ] {
        let mut config = config.clone();
        config[field] = value;
        assert_answer(
            "configs",
            field,
            config.to_string().as_bytes(),
            &["config.json: ", field, says],
        );
    }
    let mut long = config.clone();
    long["max_position_embeddings"] = json!(2 << 20);
    assert_answer("configs", "the longest", long.to_string().as_bytes(), &[]);
}

#[test]
fn rows_that_are_deep_or_speak_to_the_terminal() {
    let deep = "[".repeat(100_000);
    assert_answer(
        "dataset",
        "deep",
        deep.as_bytes(),
        &["data.json", "recursion limit"],
    );
    let row = json!([{"messages": [{"role": "\u{1b}]0;title\u{7}\u{202e}", "content": "x"}]}]);
    let mut text = row.to_string();
    text.push_str(if text.len().is_multiple_of(2) { "" } else { " " });
    assert_answer(
        "dataset",
        "escapes",
        text.as_bytes(),
        &["row 0", "\\u{1b}]0;title\\u{7}\\u{202e}"],
    );
}
