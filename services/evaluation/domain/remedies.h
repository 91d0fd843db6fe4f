// What to try before training, by symptom; and which strategy the common scenarios call for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace crossover::evaluation {

struct Remedy {
  std::string symptom;  // stable name: "wrong_format"
  std::string words;    // as people say it: "wrong format"
  std::string remedy;
};

// All seven, in the order they are documented.
const std::vector<Remedy>& Remedies();
// nullptr for an unknown symptom.
const Remedy* FindRemedy(std::string_view symptom);

}  // namespace crossover::evaluation
