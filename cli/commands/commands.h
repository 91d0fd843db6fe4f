// The commands. Each function adds one command (with its sub-commands) to the application; choosing
// it sets context.action.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/client/context.h"

namespace crossover::cli {

void AddUp(CLI::App& app, Context& context);
void AddStatus(CLI::App& app, Context& context);
void AddTask(CLI::App& app, Context& context);
void AddPrompt(CLI::App& app, Context& context);
void AddDataset(CLI::App& app, Context& context);
void AddSuite(CLI::App& app, Context& context);
void AddEvaluate(CLI::App& app, Context& context);
void AddCompare(CLI::App& app, Context& context);
void AddLadder(CLI::App& app, Context& context);
void AddDecide(CLI::App& app, Context& context);
void AddTune(CLI::App& app, Context& context);
void AddJobs(CLI::App& app, Context& context);
void AddAdapter(CLI::App& app, Context& context);
void AddModels(CLI::App& app, Context& context);
void AddPipeline(CLI::App& app, Context& context);
void AddWebhook(CLI::App& app, Context& context);
void AddRoute(CLI::App& app, Context& context);
void AddExperiment(CLI::App& app, Context& context);
void AddFeedback(CLI::App& app, Context& context);
void AddLineage(CLI::App& app, Context& context);
void AddDiagnose(CLI::App& app, Context& context);
void AddKey(CLI::App& app, Context& context);
void AddCompletion(CLI::App& app, Context& context);

}  // namespace crossover::cli
