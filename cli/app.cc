#include "cli/app.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <ostream>

#include "cli/client/nearest.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"

namespace crossover::cli {
namespace {

constexpr char kFooter[] =
    "The way through:\n"
    "  crossover up                                            start everything on this machine\n"
    "  crossover task create support --file task.yaml          what it is for: owner, targets, "
    "volume, prices\n"
    "  crossover prompt create support/main --file prompt.yaml the prompt in use becomes a hashed "
    "version\n"
    "  crossover dataset import support-rows rows.jsonl --task support --seal\n"
    "  crossover suite freeze support-dev --task support --dataset support-rows --split validation "
    "--role dev\n"
    "  crossover ladder support --dev support-dev --rung "
    "system-prompt:prompt=support/main,model=smollm2-135m-instruct\n"
    "  crossover decide support                                is fine-tuning worth it?\n"
    "  crossover tune support-rows --base smollm2-135m-instruct\n"
    "  crossover evaluate support-test --system prompt=support/main,model=smollm2-135m-instruct "
    "--system adapter=ft:…\n"
    "  crossover compare 06bq3f…                               what crossing over would change, in "
    "six rows\n"
    "  crossover route create support --task support --variant tuned:adapter=ft:… --variant "
    "prompt:prompt=support/main,model=… --primary prompt\n"
    "  crossover experiment start support --candidate tuned    shadow, canary, promotion\n"
    "\n"
    "Server: --server, CROSSOVER_SERVER, the platform of the data folder, else 127.0.0.1:7070. "
    "Key: CROSSOVER_API_KEY or\n"
    "CROSSOVER_API_KEY_FILE. --json prints proto JSON with the protos' field names; streams print "
    "one object a line.\n"
    "Exit codes: 0 done, 1 failed or refused, 2 wrong arguments or files, 3 no server there.";

void AddGlobals(CLI::App& app, Context& context) {
  app.add_option("--server", context.globals.server, "HOST:PORT or unix:/path of the server");
  app.add_option("--project", context.globals.project,
                 "Project; default CROSSOVER_PROJECT, else default");
  app.add_option("--data", context.globals.data, "Data folder of the platform on this machine");
  app.add_flag("--json", context.globals.json, "JSON for programs instead of tables");
  app.add_option_function<double>(
         "--timeout",
         [&context](const double& seconds) { context.globals.timeout = absl::Seconds(seconds); },
         "Seconds one call may take; default 60")
      ->check(CLI::PositiveNumber);
}

// Global options may also stand after the command; an option that may be given again takes one
// value each time.
void LetThrough(CLI::App& app) {
  app.fallthrough();
  for (CLI::Option* option : app.get_options()) {
    if (!option->get_positional() && option->get_items_expected_max() > 1)
      option->allow_extra_args(false);
  }
  for (CLI::App* sub : app.get_subcommands([](CLI::App*) { return true; })) {
    if (sub->get_name() != "up") LetThrough(*sub);
  }
}

// The command that was reached, for "did you mean".
const CLI::App* Deepest(const CLI::App* app) {
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return app;
}

// "crossover dataset import".
std::string PathOf(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return (parent == nullptr ? "" : PathOf(*parent) + " ") + command.get_name();
}

// What may be meant by an option that is not there, and how it is written: options, and the fields
// that --set takes.
std::map<std::string, std::string> KnownOptions(const CLI::App& command, const Context& context) {
  std::map<std::string, std::string> known;
  if (const auto found = context.set_fields.find(&command); found != context.set_fields.end()) {
    for (int i = 0; i < found->second->field_count(); ++i) {
      const std::string& field = found->second->field(i)->name();
      std::string option = "--" + field;
      std::replace(option.begin(), option.end(), '_', '-');
      known[option] = "--set " + field + "=VALUE";
    }
  }
  for (const CLI::App* app = &command; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options())
      for (const std::string& name : option->get_lnames()) known["--" + name] = "--" + name;
  }
  return known;
}

// What is left over comes before what is missing: `--bsae x` is why `--base` was not given.
std::string UnknownOption(const CLI::App& command, const Context& context,
                          const std::string& word) {
  const std::map<std::string, std::string> known = KnownOptions(command, context);
  std::vector<std::string> names;
  for (const auto& [name, written] : known) names.push_back(name);
  const std::string name = word.substr(0, word.find('='));
  const std::string meant = Nearest(name, names);
  return "there is no option '" + name + "'" +
         (meant.empty() ? "" : "; did you mean '" + known.at(meant) + "'?");
}

int ParseError(const CLI::App& app, Context& context, const CLI::ParseError& error) {
  Terminal& terminal = context.terminal();
  if (error.get_exit_code() == 0) {  // --help, --version
    app.exit(error, terminal.out, terminal.err);
    return kExitOk;
  }
  const CLI::App& command = *Deepest(&app);
  std::string message = error.what();
  const std::vector<std::string> rest =
      app.remaining(true);  // with fallthrough they end up in a parent
  std::vector<std::string> known;
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; }))
    known.push_back(sub->get_name());
  const std::string meant = rest.empty() ? "" : Nearest(rest[0], known);
  if (!rest.empty() && !known.empty()) {
    message = "there is no command '" + rest[0] + "'" +
              (meant.empty() ? "" : "; did you mean '" + meant + "'?");
  }
  const auto option = std::find_if(rest.begin(), rest.end(),
                                   [](const std::string& word) { return word.starts_with("--"); });
  if (known.empty() && option != rest.end()) message = UnknownOption(command, context, *option);
  const absl::Status status = UsageError(message);
  terminal.err << (context.globals.json ? RenderErrorJson(status)
                                        : RenderError(terminal, status, PathOf(command)));
  return kExitUsage;
}

}  // namespace

int Run(World& world, const std::vector<std::string>& arguments) {
  Context context(world);
  CLI::App app("Crossover: from prompt to fine-tuned model, with proof", "crossover");
  app.set_version_flag("--version", "crossover " CROSSOVER_VERSION);
  app.footer(kFooter);
  app.require_subcommand(1);
  AddGlobals(app, context);
  AddUp(app, context);
  AddStatus(app, context);
  AddTask(app, context);
  AddPrompt(app, context);
  AddDataset(app, context);
  AddSuite(app, context);
  AddEvaluate(app, context);
  AddCompare(app, context);
  AddLadder(app, context);
  AddDecide(app, context);
  AddDiagnose(app, context);
  AddTune(app, context);
  AddJobs(app, context);
  AddAdapter(app, context);
  AddModels(app, context);
  AddPipeline(app, context);
  AddWebhook(app, context);
  AddRoute(app, context);
  AddExperiment(app, context);
  AddFeedback(app, context);
  AddLineage(app, context);
  AddKey(app, context);
  AddCompletion(app, context);
  LetThrough(app);

  try {
    // CLI11 takes them from the back.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return ParseError(app, context, error);
  }
  const absl::Status status = context.action ? context.action() : absl::OkStatus();
  world.terminal.out.flush();
  if (status.ok()) return kExitOk;
  world.terminal.err << (context.globals.json
                             ? RenderErrorJson(status)
                             : RenderError(world.terminal, status, PathOf(*Deepest(&app))));
  return ExitCode(status);
}

}  // namespace crossover::cli
