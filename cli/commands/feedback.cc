// crossover feedback: what somebody says about an answer, perhaps days later.
#include <fstream>
#include <memory>
#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/client/spec_file.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/progress.h"
#include "crossover/router/v1/traffic_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace router = ::crossover::router::v1;
using FeedbackStub = router::TrafficService::Stub;

constexpr int kBatch = 1000;

struct FeedbackOptions {
  std::string inference;
  std::string name;
  std::string label;
  std::string comment;
  std::string author;
  std::string file;
  double rating = -1;
  bool correct = false;
  bool wrong = false;
};

absl::Status SendOne(Context& context, const FeedbackOptions& options) {
  router::CreateFeedbackRequest request;
  request.set_parent(context.Project());
  request.set_request_id(context.RequestId());
  router::Feedback& feedback = *request.mutable_feedback();
  feedback.set_inference_id(options.inference);
  feedback.set_author(options.author);
  std::string name = options.name;
  const int values = options.correct + options.wrong + (options.rating >= 0 ? 1 : 0) +
                     !options.label.empty() + !options.comment.empty();
  if (values != 1)
    return UsageError("give one of --correct, --wrong, --rating, --label and --comment");
  if (options.correct || options.wrong) {
    feedback.set_bool_value(options.correct);
    if (name.empty()) name = "correct";
  } else if (options.rating >= 0) {
    feedback.set_float_value(options.rating);
    if (name.empty()) name = "rating";
  } else if (!options.label.empty()) {
    feedback.set_demonstration(options.label);
    if (name.empty()) name = "label";
  } else {
    feedback.set_comment(options.comment);
    if (name.empty()) name = "comment";
  }
  feedback.set_name(name);
  auto stub = router::TrafficService::NewStub(context.Channel());
  ASSIGN_OR_RETURN(const auto stored,
                   context.Call(stub, &FeedbackStub::CreateFeedback, request, true));
  if (!context.PrintedJson(stored))
    context.terminal().out << "taken: " << stored.name() << " of " << stored.inference_id() << "\n";
  if (!stored.warning().empty()) context.terminal().err << "warning: " << stored.warning() << "\n";
  return absl::OkStatus();
}

// What came with a warning, of all that was sent.
struct Warned {
  int64_t count = 0;
  std::string first;
};

absl::Status SendBatch(Context& context, std::unique_ptr<FeedbackStub>& stub,
                       router::BatchCreateFeedbackRequest& request, Warned& warned) {
  if (request.feedback().empty()) return absl::OkStatus();
  request.set_parent(context.Project());
  request.set_request_id(context.RequestId());
  ASSIGN_OR_RETURN(const auto stored,
                   context.Call(stub, &FeedbackStub::BatchCreateFeedback, request, true));
  for (const router::Feedback& feedback : stored.feedback()) {
    if (feedback.warning().empty()) continue;
    if (warned.count++ == 0) warned.first = feedback.warning();
  }
  request.Clear();
  return absl::OkStatus();
}

absl::Status SendFile(Context& context, const FeedbackOptions& options) {
  std::ifstream file(options.file);
  if (!file) return UsageError("cannot read " + options.file);
  auto stub = router::TrafficService::NewStub(context.Channel());
  router::BatchCreateFeedbackRequest request;
  ProgressLine progress(context.terminal(), context.world.clock);
  std::string line;
  int64_t number = 0;
  int64_t sent = 0;
  Warned warned;
  while (std::getline(file, line)) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    router::Feedback& feedback = *request.add_feedback();
    RETURN_IF_ERROR(ReadSpecText(line, absl::StrCat(options.file, " line ", number), &feedback));
    if (feedback.author().empty()) feedback.set_author(options.author);
    if (request.feedback_size() < kBatch) continue;
    sent += request.feedback_size();
    RETURN_IF_ERROR(SendBatch(context, stub, request, warned));
    progress.Update(absl::StrCat(Count(sent), " sent"));
  }
  sent += request.feedback_size();
  RETURN_IF_ERROR(SendBatch(context, stub, request, warned));
  progress.Finish();
  if (warned.count > 0) {
    context.terminal().err << "warning: " << Count(warned.count) << " of " << Count(sent)
                           << " name an answer without a pair; the first: " << warned.first << "\n";
  }
  if (context.globals.json) {
    context.terminal().out << absl::StrCat("{\"taken\": ", sent, "}\n");
  } else {
    context.terminal().out << "taken: " << Count(sent) << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

void AddFeedback(CLI::App& app, Context& context) {
  auto options = std::make_shared<FeedbackOptions>();
  CLI::App* command = AddCommand(
      app, context, "feedback",
      "Say whether an answer was right; it grades the answer's pairs, however late",
      "  crossover feedback chatcmpl-06bq3f… --correct\n"
      "  crossover feedback chatcmpl-06bq3f… --label '{\"section\": \"games\"}'\n"
      "  crossover feedback --file feedback.jsonl     # lines {\"inference_id\": …, \"name\": "
      "\"label\", \"demonstration\": …}",
      [&context, options] {
        return options->file.empty() ? SendOne(context, *options) : SendFile(context, *options);
      });
  command->add_option("inference", options->inference, "Id of the answer, as the client got it");
  command->add_flag("--correct", options->correct, "It was right");
  command->add_flag("--wrong", options->wrong, "It was wrong");
  command->add_option("--rating", options->rating, "How good it was, 0 to 1")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--label", options->label, "The right answer");
  command->add_option("--comment", options->comment, "Text");
  command->add_option("--name", options->name,
                      "What is meant, when a task has several kinds of feedback");
  command->add_option("--author", options->author, "Who says it")->envname("USER");
  command->add_option("--file", options->file, "JSONL file with many")->check(CLI::ExistingFile);
}

}  // namespace crossover::cli
