// How a command is declared.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/client/context.h"

namespace crossover::cli {

// A command that does something. `examples` are whole command lines, one a line; --help ends with
// them.
inline CLI::App* AddCommand(CLI::App& parent, Context& context, const std::string& name,
                            const std::string& about, const std::string& examples,
                            std::function<absl::Status()> run) {
  CLI::App* command = parent.add_subcommand(name, about);
  if (!examples.empty()) command->footer("Examples:\n" + examples);
  // A subcommand's callback runs before that of the command it belongs to, and is what was meant.
  command->callback([&context, run = std::move(run)] {
    if (!context.action) context.action = run;
  });
  return command;
}

// --set FIELD=VALUE of a message. Whoever writes a field as an option of its own is told so.
inline void AddSet(CLI::App* command, Context& context, std::vector<std::string>& settings,
                   const google::protobuf::Descriptor* message, const std::string& about) {
  command->add_option("--set", settings, about);
  context.set_fields[command] = message;
}

// A command that only holds others.
inline CLI::App* AddGroup(CLI::App& parent, const std::string& name, const std::string& about) {
  CLI::App* group = parent.add_subcommand(name, about);
  group->require_subcommand(1);
  return group;
}

}  // namespace crossover::cli
