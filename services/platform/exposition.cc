#include "services/platform/exposition.h"

#include <map>
#include <sstream>

namespace crossover::platform {
namespace {

struct Family {
  std::string head;  // HELP and TYPE lines
  std::string samples;
};

// The third word of "# TYPE name kind" and "# HELP name …"; empty for other lines.
std::string FamilyOfComment(const std::string& line) {
  if (!line.starts_with("# TYPE ") && !line.starts_with("# HELP ")) return "";
  const size_t end = line.find(' ', 7);
  return line.substr(7, end == std::string::npos ? std::string::npos : end - 7);
}

}  // namespace

std::string MergeExpositions(const std::vector<std::string>& texts) {
  std::map<std::string, Family> families;
  for (const std::string& text : texts) {
    std::istringstream lines(text);
    std::string name;
    bool known = false;  // an earlier text had this family: its head stands
    for (std::string line; std::getline(lines, line);) {
      if (line.empty()) continue;
      const std::string family = FamilyOfComment(line);
      if (!family.empty() && family != name) {
        name = family;
        known = families.contains(name);
      }
      if (line.front() != '#') {
        families[name].samples += line + "\n";
      } else if (!known) {
        families[name].head += line + "\n";
      }
    }
  }
  std::string out;
  for (const auto& [name, family] : families) out += family.head + family.samples;
  return out;
}

}  // namespace crossover::platform
