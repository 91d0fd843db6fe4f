#include "common/config/config.h"

#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

extern char** environ;

namespace crossover::config {
namespace {

constexpr std::string_view kPrefix = "CROSSOVER_";
// Variables that any program of the tree may find in its environment: those of the build, of ./dev
// with its tests and benches, of the command line, and those that the services of one deployment
// share (docker-compose.yml sets them for all). A misspelt one is still an error.
const std::set<std::string, std::less<>> kForeignVariables = {"CROSSOVER_CACHE",
                                                              "CROSSOVER_WHEELS",
                                                              "CROSSOVER_SOURCE_DIR",
                                                              "CROSSOVER_BINARY_DIR",
                                                              "CROSSOVER_PRESET",
                                                              "CROSSOVER_SKIP_APT",
                                                              "CROSSOVER_JOBS",
                                                              "CROSSOVER_LLAMA_SERVER",
                                                              "CROSSOVER_PEERS_PYTHON",
                                                              "CROSSOVER_GO",
                                                              "CROSSOVER_COMPAT_PYTHON",
                                                              "CROSSOVER_COMPAT_TEMPLATES",
                                                              "CROSSOVER_COMPAT_VOCABULARIES",
                                                              "CROSSOVER_NODE_MODULES",
                                                              "CROSSOVER_JSON_SCHEMA_SUITE",
                                                              "CROSSOVER_CHAOS_SEED",
                                                              "CROSSOVER_CONFIG",
                                                              "CROSSOVER_DATABASE_URL",
                                                              "CROSSOVER_DATABASE_PASSWORD",
                                                              "CROSSOVER_DATABASE_PASSWORD_FILE",
                                                              "CROSSOVER_BLOB_DIR",
                                                              "CROSSOVER_DATA",
                                                              "CROSSOVER_GRPC_ADDRESS",
                                                              "CROSSOVER_METRICS_ADDRESS",
                                                              "CROSSOVER_HTTP_ADDRESS",
                                                              "CROSSOVER_ADMIN_ADDRESS",
                                                              "CROSSOVER_SCHEDULER",
                                                              "CROSSOVER_CURATION",
                                                              "CROSSOVER_EVALUATION",
                                                              "CROSSOVER_INFERENCE",
                                                              "CROSSOVER_REGISTRY",
                                                              "CROSSOVER_ROUTER",
                                                              "CROSSOVER_MODEL_SERVER",
                                                              "CROSSOVER_SERVER",
                                                              "CROSSOVER_SERVICE_KEY",
                                                              "CROSSOVER_SERVICE_KEY_FILE",
                                                              "CROSSOVER_API_KEY",
                                                              "CROSSOVER_API_KEY_FILE",
                                                              "CROSSOVER_PROJECT"};

absl::Status Invalid(const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", message);
}

std::string VariableOf(std::string_view name) {
  std::string out(kPrefix);
  for (const char c : name)
    out += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

// Levenshtein distance.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::string Hint(const std::vector<std::string>& known, std::string_view wrong) {
  const auto nearest = std::min_element(
      known.begin(), known.end(),
      [&](const auto& a, const auto& b) { return Distance(a, wrong) < Distance(b, wrong); });
  if (nearest == known.end() || Distance(*nearest, wrong) > std::max<size_t>(3, wrong.size() / 3)) {
    return "; --help lists the known ones";
  }
  return "; did you mean " + *nearest + "?";
}

absl::StatusOr<std::string> ReadSecretFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Invalid("cannot read the secret file " + path);
  std::ostringstream out;
  out << file.rdbuf();
  std::string text = out.str();
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

}  // namespace

// One declared setting: how to set it from text and how to print it.
struct Config::Field {
  std::string name;
  std::string help;
  std::function<bool(const std::string&)> set;  // false: not of this type
  std::function<nlohmann::json()> get;
  std::string expected;  // "a whole number"
  bool secret = false;
  bool is_flag = false;  // --x without a value means true
  std::string source = "default";

  std::string FlagName() const { return "--" + name + (secret ? "-file" : ""); }
};

struct Config::Impl {
  std::string program;
  std::string about;
  std::vector<std::unique_ptr<Field>> fields;

  Field* Find(std::string_view name) {
    for (const auto& field : fields) {
      if (field->name == name) return field.get();
    }
    return nullptr;
  }

  Field& Declare(std::string_view name, std::string_view help, std::string expected) {
    auto field = std::make_unique<Field>();
    field->name = name;
    field->help = help;
    field->expected = std::move(expected);
    fields.push_back(std::move(field));
    return *fields.back();
  }

  absl::Status Set(Field& field, const std::string& text, const std::string& source,
                   const std::string& where) {
    if (!field.set(text)) {
      return Invalid(absl::StrCat(where, ": '", field.secret ? "<redacted>" : text, "' is not ",
                                  field.expected));
    }
    field.source = source;
    return absl::OkStatus();
  }

  absl::Status ApplyYaml(const std::string& path);
  absl::Status ApplyYamlNode(const std::string& path, const std::string& prefix,
                             const YAML::Node& node);
  absl::Status ApplyEnvironment(const Environment& environment);
  absl::StatusOr<Next> ParseFlags(const std::vector<std::string>& args,
                                  std::map<std::string, std::string>& flags,
                                  std::string& config_file);
};

Config::Config(std::string program, std::string about) : impl_(std::make_unique<Impl>()) {
  impl_->program = std::move(program);
  impl_->about = std::move(about);
}

Config::~Config() = default;

void Config::Add(std::string_view name, std::string_view help, std::string* field) {
  Field& f = impl_->Declare(name, help, "text");
  f.set = [field](const std::string& text) { return *field = text, true; };
  f.get = [field] { return nlohmann::json(*field); };
}

void Config::Add(std::string_view name, std::string_view help, std::filesystem::path* field) {
  Field& f = impl_->Declare(name, help, "a path");
  f.set = [field](const std::string& text) { return *field = text, true; };
  f.get = [field] { return nlohmann::json(field->string()); };
}

void Config::Add(std::string_view name, std::string_view help, int* field) {
  Field& f = impl_->Declare(name, help, "a whole number");
  f.set = [field](const std::string& text) { return absl::SimpleAtoi(text, field); };
  f.get = [field] { return nlohmann::json(*field); };
}

void Config::Add(std::string_view name, std::string_view help, int64_t* field) {
  Field& f = impl_->Declare(name, help, "a whole number");
  f.set = [field](const std::string& text) { return absl::SimpleAtoi(text, field); };
  f.get = [field] { return nlohmann::json(*field); };
}

void Config::Add(std::string_view name, std::string_view help, double* field) {
  Field& f = impl_->Declare(name, help, "a number");
  f.set = [field](const std::string& text) { return absl::SimpleAtod(text, field); };
  f.get = [field] { return nlohmann::json(*field); };
}

void Config::Add(std::string_view name, std::string_view help, bool* field) {
  Field& f = impl_->Declare(name, help, "true or false");
  f.is_flag = true;
  f.set = [field](const std::string& text) { return absl::SimpleAtob(text, field); };
  f.get = [field] { return nlohmann::json(*field); };
}

void Config::Add(std::string_view name, std::string_view help, absl::Duration* field) {
  Field& f = impl_->Declare(name, help, "a duration such as 30s, 5m or 1h30m");
  f.set = [field](const std::string& text) { return absl::ParseDuration(text, field); };
  f.get = [field] { return nlohmann::json(absl::FormatDuration(*field)); };
}

void Config::Add(std::string_view name, std::string_view help, std::vector<std::string>* field) {
  Field& f = impl_->Declare(name, help, "a list such as a,b,c");
  f.set = [field](const std::string& text) {
    const std::vector<std::string> parts = absl::StrSplit(text, ',', absl::SkipEmpty());
    return *field = parts, true;
  };
  f.get = [field] { return nlohmann::json(*field); };
}

void Config::AddSecret(std::string_view name, std::string_view help, std::string* field) {
  Add(name, help, field);
  impl_->fields.back()->secret = true;
}

absl::Status Config::Impl::ApplyYamlNode(const std::string& path, const std::string& prefix,
                                         const YAML::Node& node) {
  for (const auto& entry : node) {
    const std::string key = prefix + entry.first.as<std::string>();
    const YAML::Node& value = entry.second;
    const std::string where = absl::StrCat(path, ":", value.Mark().line + 1, ": ", key);
    Field* field = Find(key);
    if (value.IsMap() && field == nullptr) {
      RETURN_IF_ERROR(ApplyYamlNode(path, key + "-", value));
      continue;
    }
    if (field == nullptr) {
      std::vector<std::string> known;
      for (const auto& f : fields) known.push_back(f->name);
      return Invalid(absl::StrCat(where, " is not a setting of ", program, Hint(known, key)));
    }
    if (field->secret) {
      return Invalid(absl::StrCat(where, " is a secret: set ", VariableOf(field->name), "_FILE or ",
                                  field->FlagName(), " to the name of a file instead"));
    }
    std::string text;
    if (value.IsSequence()) {
      for (const auto& item : value)
        absl::StrAppend(&text, text.empty() ? "" : ",", item.as<std::string>());
    } else if (value.IsScalar()) {
      text = value.as<std::string>();
    } else {
      return Invalid(where + " has no value");
    }
    RETURN_IF_ERROR(Set(*field, text, "file", where));
  }
  return absl::OkStatus();
}

absl::Status Config::Impl::ApplyYaml(const std::string& path) {
  try {
    const YAML::Node root = YAML::LoadFile(path);
    if (root.IsNull()) return absl::OkStatus();
    if (!root.IsMap()) return Invalid(path + ": expected settings as `name: value` lines");
    return ApplyYamlNode(path, "", root);
  } catch (const YAML::BadFile&) {
    return Invalid("cannot read the configuration file " + path);
  } catch (const YAML::Exception& e) {
    return Invalid(path + ": " + e.what());
  }
}

absl::Status Config::Impl::ApplyEnvironment(const Environment& environment) {
  std::vector<std::string> known;
  for (const auto& field : fields) {
    known.push_back(VariableOf(field->name));
    if (field->secret) known.push_back(VariableOf(field->name) + "_FILE");
  }
  for (const auto& [variable, value] : environment) {
    if (!variable.starts_with(kPrefix)) continue;
    if (std::find(known.begin(), known.end(), variable) == known.end()) {
      if (kForeignVariables.contains(variable)) continue;
      return Invalid(absl::StrCat("the environment variable ", variable, " is not a setting of ",
                                  program, Hint(known, variable)));
    }
    for (const auto& field : fields) {
      if (variable == VariableOf(field->name))
        RETURN_IF_ERROR(Set(*field, value, "environment", variable));
      if (!field->secret || variable != VariableOf(field->name) + "_FILE") continue;
      ASSIGN_OR_RETURN(const std::string secret, ReadSecretFile(value));
      RETURN_IF_ERROR(Set(*field, secret, "environment", variable));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Next> Config::Impl::ParseFlags(const std::vector<std::string>& args,
                                              std::map<std::string, std::string>& flags,
                                              std::string& config_file) {
  CLI::App app(about, program);
  app.option_defaults()->always_capture_default(false);
  app.add_option("--config", config_file, "YAML file with settings (CROSSOVER_CONFIG)");
  app.set_version_flag("--version", program + " 0.1.0");
  for (const auto& field : fields) {
    const std::string shown = field->secret ? "" : " [" + field->get().dump() + "]";
    const std::string help =
        field->help + shown + " (" + VariableOf(field->name) + (field->secret ? "_FILE" : "") + ")";
    const auto take = [&flags, name = field->name](const std::string& text) { flags[name] = text; };
    if (field->is_flag) {
      app.add_flag_function(
          field->FlagName() + "{true}",
          [&flags, &app, f = field.get()](int64_t) {
            flags[f->name] = app.get_option(f->FlagName())->results().back();
          },
          help);
    } else {
      app.add_option_function<std::string>(field->FlagName(), take, help);
    }
  }
  std::vector<std::string> reversed(args.rbegin(), args.rend());  // what CLI11 wants
  try {
    app.parse(reversed);
    return Next::kRun;
  } catch (const CLI::Success& e) {
    app.exit(e, std::cout, std::cerr);
    return Next::kExit;
  } catch (const CLI::ExtrasError&) {
    std::vector<std::string> known = {"--config", "--help", "--version"};
    for (const auto& field : fields) known.push_back(field->FlagName());
    for (const std::string& arg : args) {
      const std::string flag = arg.substr(0, arg.find('='));
      if (std::find(known.begin(), known.end(), flag) != known.end()) continue;
      if (flag.starts_with("-"))
        return Invalid(flag + " is not a flag of " + program + Hint(known, flag));
    }
    return Invalid(program + " takes no arguments beside flags");
  } catch (const CLI::ParseError& e) {
    return Invalid(e.what());
  }
}

absl::StatusOr<Next> Config::Parse(int argc, const char* const* argv) {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos) {
      environment[std::string(text.substr(0, equals))] = std::string(text.substr(equals + 1));
    }
  }
  return Parse(std::vector<std::string>(argv + 1, argv + argc), environment);
}

absl::StatusOr<Next> Config::Parse(const std::vector<std::string>& args,
                                   const Environment& environment) {
  std::map<std::string, std::string> flags;
  std::string config_file;
  if (const auto it = environment.find("CROSSOVER_CONFIG"); it != environment.end())
    config_file = it->second;
  ASSIGN_OR_RETURN(const Next next, impl_->ParseFlags(args, flags, config_file));
  if (next == Next::kExit) return next;
  // Weakest first, so that the stronger ones overwrite.
  if (!config_file.empty()) RETURN_IF_ERROR(impl_->ApplyYaml(config_file));
  RETURN_IF_ERROR(impl_->ApplyEnvironment(environment));
  for (const auto& [name, text] : flags) {
    Field& field = *impl_->Find(name);
    std::string value = text;
    if (field.secret) {
      ASSIGN_OR_RETURN(value, ReadSecretFile(text));
    }
    RETURN_IF_ERROR(impl_->Set(field, value, "flag", field.FlagName()));
  }
  return Next::kRun;
}

std::string Config::EffectiveJson() const {
  nlohmann::ordered_json out;
  for (const auto& field : impl_->fields) {
    const bool hide = field->secret && field->get() != "";
    out[field->name] = hide ? nlohmann::json("<redacted>") : field->get();
  }
  return out.dump();
}

std::string Config::SourceOf(std::string_view name) const {
  const Field* field = impl_->Find(name);
  return field == nullptr ? "" : field->source;
}

std::filesystem::path DefaultDataFolder() {
  if (const char* data = std::getenv("CROSSOVER_DATA"); data != nullptr && *data != '\0')
    return data;
  if (const char* xdg = std::getenv("XDG_DATA_HOME"); xdg != nullptr && *xdg == '/') {
    return std::filesystem::path(xdg) / "crossover";
  }
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home == nullptr ? "/" : home) / ".local/share/crossover";
}

}  // namespace crossover::config
