// crossover up: becomes crossover-platform.
#include <memory>
#include <string>
#include <vector>

#include "cli/commands/command.h"
#include "cli/commands/commands.h"

namespace crossover::cli {

void AddUp(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<std::vector<std::string>>();
  CLI::App* command = AddCommand(
      app, context, "up",
      "Start everything on this machine: Postgres, all services, model server, worker",
      "  crossover up\n"
      "  crossover --data /srv/crossover up --http-address 0.0.0.0:8080\n"
      "Options after `up` are crossover-platform's; `crossover-platform --help` lists them.",
      [&context, arguments] {
        std::vector<std::string> all;
        if (!context.globals.data.empty()) {
          all.push_back("--data");
          all.push_back(context.globals.data);
        }
        all.insert(all.end(), arguments->begin(), arguments->end());
        return context.world.exec("crossover-platform", all);
      });
  command->prefix_command();
  // prefix_command leaves what follows as remaining arguments; they are read when the command is
  // chosen.
  command->parse_complete_callback([command, arguments] {
    const auto rest = command->remaining();
    arguments->insert(arguments->end(), rest.begin(), rest.end());
  });
}

}  // namespace crossover::cli
