#include "llm/export/modelfile.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace crossover::llm {
namespace {

// Words that no template uses.
constexpr char kSystem[] = "\x01SYSTEM\x02";
constexpr char kUser[] = "\x01USER\x02";
constexpr char kAnswer[] = "\x01ANSWER\x02";

ChatMessage Message(const char* role, const char* content) {
  return {.role = role, .content = content};
}

std::optional<std::string> RenderWithoutBegin(const ChatTemplate& chat,
                                              const std::vector<ChatMessage>& messages,
                                              bool for_answer) {
  const auto text = chat.Render(messages, {}, for_answer);
  if (!text.ok()) return std::nullopt;
  // What is not added, whatever its name, is the template's to write.
  const auto bos = chat.tokenizer().bos_id();
  const bool added = chat.tokenizer().adds_bos() && bos;
  const std::string begin = added ? std::string(chat.tokenizer().Bytes(*bos)) : "";
  if (!begin.empty() && text->rfind(begin, 0) == 0) return text->substr(begin.size());
  return *text;
}

// What stands before and after the words of a role.
struct Around {
  std::string before;
  std::string after;
};

struct Turns {
  Around system, user, answer;
  std::string header;          // Of the answer asked for.
  std::string without_system;  // What stands first where no system text is given.
};

std::string Written(const Around& around, const std::string& words) {
  return around.before + words + around.after;
}

// The text between the first `left` (or the beginning) and the next `right` (or the end).
std::string Between(const std::string& text, const std::string& left, const std::string& right) {
  const size_t begin = left.empty() ? 0 : text.find(left) + left.size();
  const size_t end = right.empty() ? text.size() : text.find(right, begin);
  return text.substr(begin, end - begin);
}

std::optional<Turns> LearnTurns(const ChatTemplate& chat) {
  const ChatMessage system = Message("system", kSystem), user = Message("user", kUser),
                    answer = Message("assistant", kAnswer);
  const auto two = RenderWithoutBegin(chat, {system, user}, false);
  const auto asked = RenderWithoutBegin(chat, {system, user}, true);
  const auto three = RenderWithoutBegin(chat, {system, user, answer}, false);
  const auto four = RenderWithoutBegin(chat, {system, user, answer, user}, false);
  if (!two || !asked || !three || !four || asked->rfind(*two, 0) != 0 || three->rfind(*two, 0) != 0)
    return std::nullopt;
  for (const char* word : {kSystem, kUser}) {
    if (two->find(word) == std::string::npos) return std::nullopt;
  }
  if (three->find(kAnswer) == std::string::npos || two->find(kUser) < two->find(kSystem))
    return std::nullopt;
  Turns turns;
  turns.header = asked->substr(two->size());
  turns.user.after = Between(*two, kUser, "");
  turns.answer.before = Between(three->substr(two->size()), "", kAnswer);
  turns.answer.after = Between(*three, kAnswer, "");
  // A user's turn after an answer shows where it begins.
  if (four->rfind(*three, 0) != 0) return std::nullopt;
  turns.user.before = Between(four->substr(three->size()), "", kUser);
  const std::string middle = Between(*two, kSystem, kUser);
  if (middle.size() < turns.user.before.size() || !middle.ends_with(turns.user.before))
    return std::nullopt;
  turns.system.before = Between(*two, "", kSystem);
  turns.system.after = middle.substr(0, middle.size() - turns.user.before.size());
  const auto alone = RenderWithoutBegin(chat, {user}, false);
  const std::string written = Written(turns.user, kUser);
  if (!alone || !alone->ends_with(written)) return std::nullopt;
  turns.without_system = alone->substr(0, alone->size() - written.size());
  return turns;
}

// Whether the turns, joined, are what the template gives for other conversations, too.
bool Explains(const Turns& turns, const ChatTemplate& chat) {
  const ChatMessage system = Message("system", kSystem), user = Message("user", kUser),
                    answer = Message("assistant", kAnswer);
  const std::string s = Written(turns.system, kSystem), u = Written(turns.user, kUser),
                    a = Written(turns.answer, kAnswer);
  const std::string& d = turns.without_system;
  return RenderWithoutBegin(chat, {system, user, answer, user, answer}, false) ==
             s + u + a + u + a &&
         RenderWithoutBegin(chat, {user}, true) == d + u + turns.header &&
         RenderWithoutBegin(chat, {user, answer, user}, true) == d + u + a + u + turns.header;
}

std::optional<Turns> TurnsOf(const ChatTemplate& chat) {
  std::optional<Turns> turns = LearnTurns(chat);
  if (turns && !Explains(*turns, chat)) turns.reset();
  return turns;
}

// The roles whose words the template changes at their ends, as `| trim` of Llama 3's does: Go's
// templates, as Ollama runs them, have nothing for that.
std::vector<std::string> TrimmedRoles(const Turns& turns, const ChatTemplate& chat) {
  std::vector<std::string> roles;
  for (const char* trimmed : {"system", "user", "assistant"}) {
    std::vector<ChatMessage> messages;
    std::string expected;
    for (const auto& [role, words, around] :
         {std::tuple("system", kSystem, &turns.system), std::tuple("user", kUser, &turns.user),
          std::tuple("assistant", kAnswer, &turns.answer),
          std::tuple("user", kUser, &turns.user)}) {
      const std::string content =
          std::string_view(role) == trimmed ? absl::StrCat(" ", words, " \n") : words;
      messages.push_back(Message(role, content.c_str()));
      expected += Written(*around, content);
    }
    if (RenderWithoutBegin(chat, messages, false) != expected) roles.emplace_back(trimmed);
  }
  return roles;
}

// Text outside of {{ }} is literal in Go's templates; braces would not be.
std::string Literal(const std::string& text) {
  if (text.find("{{") == std::string::npos) return text;
  return absl::StrReplaceAll(text, {{"{{", "{{ \"{{\" }}"}});
}

std::string Branch(const char* role, const Around& around) {
  return absl::StrCat("{{ if eq .Role \"", role, "\" }}", Literal(around.before), "{{ .Content }}",
                      Literal(around.after), "{{ end }}");
}

std::string InGo(const Turns& turns) {
  const std::string first =
      turns.without_system.empty()
          ? ""
          : absl::StrCat("{{ if not .System }}", Literal(turns.without_system), "{{ end }}");
  return absl::StrCat(first, "{{ range .Messages }}", Branch("system", turns.system),
                      Branch("user", turns.user), Branch("assistant", turns.answer), "{{ end }}",
                      Literal(turns.header));
}

void AppendTemplate(const ChatTemplate& chat, std::string& text) {
  const std::optional<Turns> turns = TurnsOf(chat);
  if (!turns) {
    absl::StrAppend(&text,
                    "# The model's chat template cannot be said in Ollama's language, turn by "
                    "turn; Ollama chooses one that it knows.\n");
    return;
  }
  if (const auto roles = TrimmedRoles(*turns, chat); !roles.empty()) {
    absl::StrAppend(&text, "# The model's chat template changes white space at the ends of texts (",
                    absl::StrJoin(roles, ", "),
                    "); Ollama writes them as they are: send texts without it.\n");
  }
  absl::StrAppend(&text, "TEMPLATE \"\"\"", InGo(*turns), "\"\"\"\n");
}

}  // namespace

std::optional<std::string> GoTemplate(const ChatTemplate& chat) {
  const std::optional<Turns> turns = TurnsOf(chat);
  if (!turns) return std::nullopt;
  return InGo(*turns);
}

std::string ModelfileText(const ChatTemplate& chat, const ModelfileOptions& options) {
  std::string text = "# ollama create NAME -f Modelfile\n";
  for (const auto& [key, value] : options.lineage)
    absl::StrAppend(&text, "# ", key, ": ", value, "\n");
  absl::StrAppend(&text, "FROM ", options.from, "\n");
  if (!options.adapter.empty()) absl::StrAppend(&text, "ADAPTER ", options.adapter, "\n");
  AppendTemplate(chat, text);
  for (const int32_t id : chat.stop_ids()) {
    absl::StrAppend(&text, "PARAMETER stop \"", std::string(chat.tokenizer().Bytes(id)), "\"\n");
  }
  if (options.context_length > 0) {
    absl::StrAppend(&text, "PARAMETER num_ctx ", std::min<int64_t>(options.context_length, 8192),
                    "\n");
  }
  return text;
}

}  // namespace crossover::llm
