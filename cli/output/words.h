// A server's text in the words that the tables use.
#pragma once

#include <string>
#include <string_view>

namespace crossover::cli {

// Messages of the services speak of states and kinds as the API spells them, and of fields by their
// path in the request. A person at the terminal knows neither: "job 06bq is SUCCEEDED" becomes "job
// 06bq is succeeded", "spec.training.epochs" becomes "epochs", which is what --set takes. What
// stands in quotes is left as it is: it is the person's own.
std::string PlainWords(std::string_view text);

}  // namespace crossover::cli
