#include "llm/tokenizer/tokenizer.h"

#include <unicode/normalizer2.h>

#include <charconv>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/tokenizer/bpe.h"
#include "llm/tokenizer/byte_level.h"
#include "llm/tokenizer/pretokenizer.h"
#include "llm/tokenizer/utf8.h"

namespace crossover::llm {
namespace {

// NFC of valid UTF-8. ICU fails only for lack of memory; then the text is used as it is.
std::string ToNfc(std::string_view text) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(error);
  std::string out;
  icu::StringByteSink<std::string> sink(&out, static_cast<int32_t>(text.size()));
  if (U_SUCCESS(error)) {
    nfc->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink,
                       nullptr, error);
  }
  return U_SUCCESS(error) ? out : std::string(text);
}

bool IsAsciiText(std::string_view text) {
  for (const char c : text) {
    if (static_cast<uint8_t>(c) >= 0x80) return false;
  }
  return true;
}

constexpr std::string_view kAsciiSpace = " \t\n\v\f\r";

constexpr std::string_view kSpaceMark = "\u2581";

// What SentencePiece's piece stands for: text, or the byte of "<0x0A>".
std::string BytesOfPiece(std::string_view piece) {
  int byte = 0;
  if (piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with('>') &&
      std::from_chars(piece.data() + 3, piece.data() + 5, byte, 16).ptr == piece.data() + 5) {
    return std::string(1, static_cast<char>(byte));
  }
  return absl::StrReplaceAll(ToAbsl(piece), {{ToAbsl(kSpaceMark), " "}});
}

// Those searched for in normalised text, or in the text as it is. Control tokens are of the latter
// whatever their flag says: no one but a template writes them.
std::vector<AddedToken> Where(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> out;
  for (const AddedToken& token : tokens) {
    if ((token.normalized && !token.special) == normalized) out.push_back(token);
  }
  return out;
}

}  // namespace

class Tokenizer::Impl {
 public:
  Impl(Parts parts, PreTokenizer pretokenizer, std::unique_ptr<Bpe> bpe)
      : raw_matcher_(Where(parts.added, false)),
        normalized_matcher_(Where(parts.added, true)),
        pretokenizer_(std::move(pretokenizer)),
        bpe_(std::move(bpe)),
        nfc_(parts.nfc),
        sentencepiece_(parts.sentencepiece),
        prefix_(parts.prefix),
        prefix_unless_spaced_(parts.prefix_unless_spaced),
        split_at_spaces_(parts.split_at_spaces),
        bos_id_(parts.bos_id),
        eos_id_(parts.eos_id),
        adds_bos_(parts.adds_bos) {
    entries_.resize(parts.tokens.size());
    for (size_t id = 0; id < parts.tokens.size(); ++id) {
      // An entry outside the byte alphabet decodes as its own text, as Hugging Face does it.
      entries_[id].bytes = sentencepiece_
                               ? BytesOfPiece(parts.tokens[id])
                               : BytesOfToken(parts.tokens[id]).value_or(parts.tokens[id]);
    }
    for (const AddedToken& token : parts.added) {
      entries_[token.id] = {token.text, token.special};
      added_.emplace(token.text, token.id);
    }
  }

  struct Entry {
    std::string bytes;
    bool special = false;
  };

  // Encodes one valid UTF-8 text; `trusted_from[i]` tells whether control tokens may begin at byte
  // i.
  void EncodeSpans(std::span<const TextSpan> spans, bool continues,
                   std::vector<int32_t>& ids) const {
    bool spaced = prefix_ != Prefix::kNone && !continues;  // Before the next stretch.
    std::string gathered;  // Ordinary text not yet encoded; it may run over span borders.
    for (const TextSpan& span : spans) {
      std::string repaired;
      std::string_view text = span.text;
      if (!IsValidUtf8(text)) {
        repaired = ToValidUtf8(text);
        text = repaired;
      }
      SplitAdded(raw_matcher_, text, span.trusted, gathered, [&](int32_t id) {
        EncodeOrdinary(gathered, spaced, ids);
        gathered.clear();
        ids.push_back(id);
        spaced = prefix_ == Prefix::kEveryStretch;
      });
    }
    EncodeOrdinary(gathered, spaced, ids);
  }

  const Entry* Find(int32_t id) const {
    if (id < 0 || static_cast<size_t>(id) >= entries_.size()) return nullptr;
    return &entries_[id];
  }

  std::optional<int32_t> FindAdded(std::string_view text) const {
    const auto found = added_.find(std::string(text));
    if (found == added_.end()) return std::nullopt;
    return found->second;
  }

  int32_t size() const { return static_cast<int32_t>(entries_.size()); }
  std::optional<int32_t> bos_id() const { return bos_id_; }
  std::optional<int32_t> eos_id() const { return eos_id_; }
  bool adds_bos() const { return adds_bos_; }
  // The space that encoding put before the text is taken away again.
  bool strips_space() const { return sentencepiece_ && prefix_ != Prefix::kNone; }

 private:
  // Appends text between added tokens to `gathered` and calls `found` at each token, after its
  // lstrip.
  template <typename Found>
  static void SplitAdded(const AddedTokenMatcher& matcher, std::string_view text, bool trusted,
                         std::string& gathered, const Found& found) {
    size_t done = 0;
    while (!matcher.empty()) {
      const std::optional<AddedMatch> match = matcher.Find(text, done, trusted);
      if (!match) break;
      gathered.append(text.substr(done, match->begin - done));
      if (match->token->lstrip) {
        gathered.resize(gathered.find_last_not_of(kAsciiSpace) + 1);
      }
      found(match->token->id);
      done = match->end;
      if (match->token->rstrip) {
        done = std::min(text.find_first_not_of(kAsciiSpace, done), text.size());
      }
    }
    gathered.append(text.substr(done));
  }

  void EncodeOrdinary(std::string_view text, bool spaced, std::vector<int32_t>& ids) const {
    if (text.empty()) return;
    if (sentencepiece_) return EncodeMarked(text, spaced, ids);
    std::string normalized;
    if (nfc_ && !IsAsciiText(text)) {
      normalized = ToNfc(text);
      text = normalized;
    }
    std::string gathered;
    SplitAdded(normalized_matcher_, text, /*trusted=*/true, gathered, [&](int32_t id) {
      EncodePieces(gathered, ids);
      gathered.clear();
      ids.push_back(id);
    });
    EncodePieces(gathered, ids);
  }

  // SentencePiece's way: spaces are marks. `spaced`: a mark belongs before the text.
  void EncodeMarked(std::string_view text, bool spaced, std::vector<int32_t>& ids) const {
    std::string marked = absl::StrReplaceAll(ToAbsl(text), {{" ", ToAbsl(kSpaceMark)}});
    if (spaced && !(prefix_unless_spaced_ && marked.starts_with(kSpaceMark)))
      marked.insert(0, kSpaceMark);
    for (size_t begin = 0, end = 0; begin < marked.size(); begin = end) {
      end = split_at_spaces_ ? marked.find(kSpaceMark, begin + 1) : std::string::npos;
      end = std::min(end, marked.size());
      bpe_->Encode(std::string_view(marked).substr(begin, end - begin), ids);
    }
  }

  void EncodePieces(std::string_view text, std::vector<int32_t>& ids) const {
    size_t covered = 0;
    const absl::Status split = pretokenizer_.Split(text, [&](std::string_view piece) {
      bpe_->Encode(piece, ids);
      covered += piece.size();
    });
    // A pattern that gives up leaves the rest as one piece: other ids, never lost text.
    if (!split.ok()) bpe_->Encode(text.substr(covered), ids);
  }

  AddedTokenMatcher raw_matcher_;
  AddedTokenMatcher normalized_matcher_;
  PreTokenizer pretokenizer_;
  std::unique_ptr<Bpe> bpe_;
  bool nfc_;
  bool sentencepiece_;
  Prefix prefix_;
  bool prefix_unless_spaced_;
  bool split_at_spaces_;
  std::optional<int32_t> bos_id_;
  std::optional<int32_t> eos_id_;
  bool adds_bos_;
  std::vector<Entry> entries_;
  std::unordered_map<std::string, int32_t> added_;
};

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::Create(Parts parts) {
  const auto in_vocabulary = [&](int32_t id) {
    return id >= 0 && static_cast<size_t>(id) < parts.tokens.size();
  };
  Bpe::Vocabulary vocabulary{.tokens = parts.tokens,
                             .merges = std::move(parts.merges),
                             .ignore_merges = parts.ignore_merges,
                             .unknown_id = parts.unknown_id,
                             .fuse_unknown = parts.fuse_unknown,
                             .characters = parts.sentencepiece};
  for (const AddedToken& token : parts.added) {
    if (!in_vocabulary(token.id)) {
      return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                   absl::StrCat("token '", token.text, "' has id ", token.id,
                                ", outside the vocabulary of ", parts.tokens.size()));
    }
  }
  for (const std::optional<int32_t>& id : {parts.bos_id, parts.eos_id}) {
    if (id && !in_vocabulary(*id)) {
      return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                   absl::StrCat("the begin or end token ", *id, " is outside the vocabulary of ",
                                parts.tokens.size()));
    }
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Bpe> bpe, Bpe::Create(std::move(vocabulary)));
  ASSIGN_OR_RETURN(PreTokenizer pretokenizer, PreTokenizer::Create(parts.patterns));
  return std::shared_ptr<const Tokenizer>(new Tokenizer(
      std::make_unique<Impl>(std::move(parts), std::move(pretokenizer), std::move(bpe))));
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::Encode(std::string_view text) const {
  const TextSpan span{text, true};
  return Encode(std::span(&span, 1));
}

std::vector<int32_t> Tokenizer::Encode(std::span<const TextSpan> spans, bool continues) const {
  std::vector<int32_t> ids;
  impl_->EncodeSpans(spans, continues, ids);
  return ids;
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    const Impl::Entry* entry = impl_->Find(id);
    if (entry != nullptr && !(skip_special && entry->special)) bytes.append(entry->bytes);
  }
  if (impl_->strips_space() && bytes.starts_with(' ')) bytes.erase(0, 1);
  return IsValidUtf8(bytes) ? bytes : ToValidUtf8(bytes);
}

std::string_view Tokenizer::Bytes(int32_t id) const {
  const Impl::Entry* entry = impl_->Find(id);
  return entry == nullptr ? std::string_view() : std::string_view(entry->bytes);
}

bool Tokenizer::IsSpecial(int32_t id) const {
  const Impl::Entry* entry = impl_->Find(id);
  return entry != nullptr && entry->special;
}

std::optional<int32_t> Tokenizer::FindAdded(std::string_view text) const {
  return impl_->FindAdded(text);
}

int32_t Tokenizer::vocab_size() const { return impl_->size(); }
std::optional<int32_t> Tokenizer::bos_id() const { return impl_->bos_id(); }
std::optional<int32_t> Tokenizer::eos_id() const { return impl_->eos_id(); }
bool Tokenizer::adds_bos() const { return impl_->adds_bos(); }

std::string StreamDecoder::Push(int32_t id) {
  if (tokenizer_.IsSpecial(id)) return "";
  pending_.append(tokenizer_.Bytes(id));
  std::string whole;
  TakeWholeCharacters(pending_, whole);
  return whole;
}

std::string StreamDecoder::Flush() { return ToValidUtf8(std::exchange(pending_, "")); }

}  // namespace crossover::llm
