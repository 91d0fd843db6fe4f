// The chain of what was made from what, followed with the public RPCs.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/client/context.h"
#include "crossover/type/v1/system.pb.h"

namespace crossover::cli {

// Something in the chain. Its children depend on the direction.
struct Node {
  std::string kind;
  std::string name;  // resource name or digest
  std::string note;
  std::vector<Node> children;
};

// Follows references with the public RPCs. Each thing is printed once; a second mention has no
// children.
class Chain {
 public:
  explicit Chain(Context& context) : context_(context) {}

  // What `name`, a full resource name, was made from. NOT_FOUND if it is not there; CLI_USAGE if
  // its kind is unknown.
  absl::StatusOr<Node> MadeFrom(const std::string& name);
  // What was made from it, or uses it.
  absl::StatusOr<Node> UsedBy(const std::string& name);

 private:
  absl::StatusOr<Node> Visit(const std::string& name, int levels, bool back);

  // Adds a child for `name`; a thing that cannot be read any more is shown as such.
  void Add(Node& parent, const std::string& name, int levels, bool back);
  void AddSystem(Node& parent, const type::v1::System& system, int levels);

  absl::StatusOr<Node> VisitModel(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitJob(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitDataset(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitCurationRun(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitPrompt(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitRun(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitSuite(const std::string& name, int levels, bool back);
  absl::StatusOr<Node> VisitRoute(const std::string& name, int levels, bool back);

  // Runs and routes whose systems `uses` says yes to.
  absl::Status AddUsers(Node& parent, const std::function<bool(const type::v1::System&)>& uses);

  Context& context_;
  std::set<std::string> seen_;
};

}  // namespace crossover::cli
