import ForjaCore

/// The templates in the language of `tokenizer_config.json`.
///
/// No Jinja is run. A template is recognised when it is, letter for letter, one that is known to write what
/// `ChatTemplate` writes; any other is refused, since a chat that is nearly right trains a model that is nearly wrong.
extension ChatTemplate {
    /// The text for `chat_template`, with which `transformers` writes the same chats.
    public var jinja: String {
        switch kind {
        case .tulu: Self.tuluJinja
        case .llama31: Self.llama3Jinja
        case .chatML:
            defaultSystem.map { Self.defaultSystemFrame.start + $0 + Self.defaultSystemFrame.end }
                ?? Self.chatMLJinja
        }
    }

    /// The template that a `chat_template` holds, given by its Jinja text or by its name here.
    ///
    /// - Throws: `.invalidInput` when it is none of the known ones.
    public init(jinja text: String) throws(ForjaError) {
        if let kind = Kind(rawValue: text) {
            self.init(kind)
        } else if let known = Self.recognised(text) {
            self = known
        } else {
            throw ForjaError(
                .invalidInput,
                "the chat template \(text.prefix(60).debugDescription)... is not one of "
                    + Kind.allCases.map(\.rawValue).joined(separator: ", "),
                fix:
                    "name the one that fits the model, or replace chat_template in tokenizer_config.json"
            )
        }
    }

    private static func recognised(_ text: String) -> ChatTemplate? {
        switch text {
        case tuluJinja: return ChatTemplate(.tulu)
        case llama3Jinja: return ChatTemplate(.llama31)
        case chatMLJinja: return ChatTemplate(.chatML)
        default:
            let (start, end) = defaultSystemFrame
            guard text.hasPrefix(start), text.hasSuffix(end), text.count > start.count + end.count
            else { return nil }
            let system = String(text.dropFirst(start.count).dropLast(end.count))
            // Anything else that means something inside a Jinja string would not be this text.
            guard !system.contains(where: { "'\\{}%".contains($0) }) else { return nil }
            return ChatTemplate(.chatML, defaultSystem: system)
        }
    }

    private static let tuluJinja =
        "{% for message in messages %}"
        + "{% if message['role'] == 'system' %}"
        + #"{{ '<|system|>\n' + message['content'] + '\n' }}"#
        + "{% elif message['role'] == 'user' %}"
        + #"{{ '<|user|>\n' + message['content'] + '\n' }}"#
        + "{% elif message['role'] == 'assistant' %}"
        + "{% if not loop.last %}"
        + #"{{ '<|assistant|>\n'  + message['content'] + eos_token + '\n' }}"#
        + "{% else %}"
        + #"{{ '<|assistant|>\n'  + message['content'] + eos_token }}"#
        + "{% endif %}"
        + "{% endif %}"
        + "{% if loop.last and add_generation_prompt %}"
        + #"{{ '<|assistant|>\n' }}"#
        + "{% endif %}"
        + "{% endfor %}"

    private static let llama3Jinja =
        "{% set loop_messages = messages %}"
        + "{% for message in loop_messages %}"
        + #"{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"#
        + "+ message['content'] | trim + '<|eot_id|>' %}"
        + "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
        + "{{ content }}"
        + "{% endfor %}"
        + "{% if add_generation_prompt %}"
        + #"{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"#
        + "{% endif %}"

    private static let chatMLTurns =
        #"{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"#
        + "{% endfor %}"
        + "{% if add_generation_prompt %}"
        + #"{{ '<|im_start|>assistant\n' }}"#
        + "{% endif %}"

    private static let chatMLJinja = "{% for message in messages %}" + chatMLTurns

    /// What stands around the default system message.
    private static let defaultSystemFrame = (
        start: "{% for message in messages %}"
            + "{% if loop.first and messages[0]['role'] != 'system' %}"
            + #"{{ '<|im_start|>system\n"#,
        end: #"<|im_end|>\n' }}"# + "{% endif %}" + chatMLTurns
    )
}
