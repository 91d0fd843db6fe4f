// crossover completion: shell completion, made from the commands themselves.
#include <memory>
#include <ostream>
#include <string>

#include "cli/commands/command.h"
#include "cli/commands/commands.h"

namespace crossover::cli {
namespace {

// Sub-commands and long options of one command, blank-separated.
std::string Words(const CLI::App& command) {
  std::string words;
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; }))
    words += sub->get_name() + " ";
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  }
  if (!words.empty()) words.pop_back();
  return words;
}

// One `case` line for a command and those below it; `path` is "prompt create".
void AddCases(const CLI::App& command, const std::string& path, std::string& out) {
  out += "    '" + path + "') words='" + Words(command) + "' ;;\n";
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
    AddCases(*sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), out);
  }
}

std::string Paths(const CLI::App& command, const std::string& path) {
  std::string out;
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string below = path.empty() ? sub->get_name() : path + " " + sub->get_name();
    out += (out.empty() ? "'" : "|'") + below + "'";
    const std::string deeper = Paths(*sub, below);
    if (!deeper.empty()) out += "|" + deeper;
  }
  return out;
}

std::string BashScript(const CLI::App& root) {
  std::string cases;
  AddCases(root, "", cases);
  return R"(# Completion of crossover for bash. Load it with:  source <(crossover completion bash)
_crossover() {
  local current=${COMP_WORDS[COMP_CWORD]} path='' word words i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case "${path:+$path }$word" in
    )" + Paths(root, "") +
         R"() path="${path:+$path }$word" ;;
    esac
  done
  case $path in
)" + cases +
         R"(  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  [ ${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
}
complete -o filenames -F _crossover crossover
)";
}

std::string ZshScript(const CLI::App& root) {
  return "# Completion of crossover for zsh. Load it with:  source <(crossover completion zsh)\n"
         "autoload -U +X bashcompinit && bashcompinit\n" +
         BashScript(root);
}

}  // namespace

void AddCompletion(CLI::App& app, Context& context) {
  CLI::App* group = AddGroup(app, "completion", "Print a completion script for your shell");
  AddCommand(*group, context, "bash", "For bash", "  source <(crossover completion bash)",
             [&app, &context] {
               context.terminal().out << BashScript(app);
               return absl::OkStatus();
             });
  AddCommand(*group, context, "zsh", "For zsh", "  source <(crossover completion zsh)",
             [&app, &context] {
               context.terminal().out << ZshScript(app);
               return absl::OkStatus();
             });
}

}  // namespace crossover::cli
