// crossover lineage: what something was made from, and what was made from it.
#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/client/names.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/commands/lineage_chain.h"
#include "cli/output/error.h"
#include "common/status/error.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace curation = ::crossover::curation::v1;

// What X may be called: asks for each kind until one is there.
absl::StatusOr<std::string> Resolve(Context& context, const std::string& text) {
  if (text.rfind("projects/", 0) == 0) return text;
  const std::string project = context.Project();
  std::vector<std::string> guesses;
  if (text.find('@') != std::string::npos) {
    return text.find('/') != std::string::npos ? PromptVersionName(context, text)
                                               : DatasetVersionName(context, text);
  }
  guesses.push_back(project + "/models/-/versions/" + text);
  if (text.rfind("sha256:", 0) == 0) {
    guesses.push_back(project + "/datasets/-/versions/" + text);
    guesses.push_back(project + "/tasks/-/prompts/-/versions/" + text);
    guesses.push_back(project + "/suites/-/versions/" + text);
  } else {
    guesses.push_back(project + "/routes/" + text);
    ASSIGN_OR_RETURN(guesses.emplace_back(), JobName(context, text));
    guesses.push_back(project + "/runs/" + text);
  }
  for (const std::string& guess : guesses) {
    const auto node = Chain(context).MadeFrom(guess);
    if (node.ok()) return guess;
    if (HasReason(node.status(), kUnreachable)) return node.status();
  }
  if (auto version = DatasetVersionName(context, text); version.ok()) return version;
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("nothing is called '", text,
                            "': no model, route, job, evaluation, data set or prompt"));
}

void PrintTree(std::ostream& out, const Node& node, const std::string& indent,
               const std::string& branch) {
  out << branch << node.kind << "  " << node.name
      << (node.note.empty() ? "" : "  (" + node.note + ")") << "\n";
  for (size_t i = 0; i < node.children.size(); ++i) {
    const bool last = i + 1 == node.children.size();
    PrintTree(out, node.children[i], indent + (last ? "   " : "│  "),
              indent + (last ? "└─ " : "├─ "));
  }
}

nlohmann::ordered_json TreeJson(const Node& node) {
  nlohmann::ordered_json json = {{"kind", node.kind}, {"name", node.name}, {"note", node.note}};
  json["children"] = nlohmann::ordered_json::array();
  for (const Node& child : node.children) json["children"].push_back(TreeJson(child));
  return json;
}

absl::Status RunLineage(Context& context, const std::string& text) {
  ASSIGN_OR_RETURN(const std::string name, Resolve(context, text));
  ASSIGN_OR_RETURN(const Node back, Chain(context).MadeFrom(name));
  ASSIGN_OR_RETURN(const Node forward, Chain(context).UsedBy(name));
  std::ostream& out = context.terminal().out;
  if (context.globals.json) {
    nlohmann::ordered_json json;
    json["made_from"] = TreeJson(back);
    json["used_by"] = TreeJson(forward);
    out << json.dump(1) << "\n";
    return absl::OkStatus();
  }
  out << Styled(context.terminal(), Style::kBold, "MADE FROM") << "\n";
  PrintTree(out, back, "", "");
  out << "\n" << Styled(context.terminal(), Style::kBold, "USED BY") << "\n";
  PrintTree(out, forward, "", "");
  return absl::OkStatus();
}

// Adapters that saw a row.
// "no adapter saw this row" must not be the answer to a digest that no row can have.
absl::Status CheckRowDigest(const std::string& row) {
  constexpr std::string_view kPrefix = "sha256:";
  const bool digits = std::all_of(row.begin() + std::min(kPrefix.size(), row.size()), row.end(),
                                  [](char c) { return absl::ascii_isxdigit(c); });
  if (row.starts_with(kPrefix) && row.size() == kPrefix.size() + 64 && digits)
    return absl::OkStatus();
  return UsageError(absl::StrCat("--row ", row, ": a row's digest is sha256: and 64 hex digits"));
}

absl::Status RunRow(Context& context, const std::string& row) {
  RETURN_IF_ERROR(CheckRowDigest(row));
  auto stub = curation::DatasetService::NewStub(context.Channel());
  curation::ListAdaptersRequest request;
  request.set_parent(context.Project() + "/datasets/-/versions/-");
  request.set_row_digest(row);
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &curation::DatasetService::Stub::ListAdapters, request,
                                   [](auto& page) { return page.mutable_adapters(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  if (list.adapters().empty()) context.terminal().out << "no adapter saw this row\n";
  for (const auto& adapter : list.adapters()) {
    context.terminal().out << adapter.digest() << "  " << adapter.alias() << "  through "
                           << adapter.dataset_version() << "\n";
  }
  return absl::OkStatus();
}

struct LineageOptions {
  std::string thing;
  std::string row;
};

}  // namespace

void AddLineage(CLI::App& app, Context& context) {
  auto options = std::make_shared<LineageOptions>();
  CLI::App* command = AddCommand(
      app, context, "lineage", "Show what something was made from, and what was made from it",
      "  crossover lineage sha256:48c2d8…                    an adapter, data set, prompt or base "
      "by its digest\n"
      "  crossover lineage support                           a route\n"
      "  crossover lineage --row sha256:9f3b…                which adapters saw this row?",
      [&context, options]() -> absl::Status {
        if (!options->row.empty()) return RunRow(context, options->row);
        if (options->thing.empty())
          return UsageError("lineage of what? give a digest, alias, route, job or name");
        return RunLineage(context, options->thing);
      });
  command->add_option(
      "thing", options->thing,
      "Digest, alias, route, job, run, DATASET[@VERSION], TASK/PROMPT@VERSION or name");
  command->add_option("--row", options->row, "Row digest");
}

}  // namespace crossover::cli
