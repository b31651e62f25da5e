// The runner: reads a GGUF file, then questions as JSON lines on stdin, and answers as JSON lines on stdout.
//
//     edgelm-runner --model FILE --context N [--threads N] [--memory-limit BYTES] [--mmap] [--batch N]
//                   [--kv auto|f16|f32] [--flash]
//
// Answers come in the order of the questions; edgelm/native/runner.py knows their fields. Exit codes: 0 after `quit` or
// the end of stdin, 2 for a bad option or file, 3 where memory is too small or the runner breaks down.

#include <cerrno>
#include <cinttypes>
#include <new>

#include <nlohmann/json.hpp>

#include "huge_pages.hpp"
#include "model.hpp"
#include "rates.hpp"
#include "system.hpp"

namespace {

using Json = nlohmann::json;

constexpr size_t LONGEST_LINE = 16u << 20;
constexpr int DEEPEST = 8;  // levels of JSON

void say(const Json & value) {
    const std::string line = value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    host::write_all(line.data(), line.size());
}

void say_failed(const host::Failed & failed) {
    say({{"error", {{"kind", failed.kind}, {"what", failed.text}, {"mend", failed.mend}}}});
}

// Lines of stdin; one that is too long is read to its end and dropped.
class Lines {
public:
    // Whether there is another; `text` is empty and `whole` false for one that was dropped.
    bool next(std::string & text, bool & whole) {
        text.clear();
        whole = true;
        while (true) {
            for (; at_ < end_; at_++) {
                if (buffer_[at_] == '\n') {
                    at_++;
                    return true;
                }
                if (text.size() < LONGEST_LINE) {
                    text.push_back(buffer_[at_]);
                } else {
                    whole = false;
                }
            }
            const ssize_t got = read(STDIN_FILENO, buffer_, sizeof buffer_);
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got <= 0) {
                return !text.empty();
            }
            at_ = 0;
            end_ = size_t(got);
        }
    }

private:
    char buffer_[1 << 16];
    size_t at_ = 0, end_ = 0;
};

// Text as it grows: bytes of a character that is not whole yet are held back.
class Text {
public:
    // What can be shown now.
    std::string add(const std::string & bytes) {
        held_ += bytes;
        const size_t whole = held_.size() - unfinished();
        std::string ready = held_.substr(0, whole);
        held_.erase(0, whole);
        return ready;
    }

    std::string rest() { return std::move(held_); }

private:
    // Bytes at the end that begin a character and lack the others.
    size_t unfinished() const {
        for (size_t back = 1; back <= std::min<size_t>(3, held_.size()); back++) {
            const auto byte = static_cast<unsigned char>(held_[held_.size() - back]);
            if ((byte & 0xC0) == 0x80) {
                continue;
            }
            const size_t needed = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
            return needed > back ? back : 0;
        }
        return 0;
    }

    std::string held_;
};

Json parsed(const std::string & line) {
    const auto shallow = [](int depth, Json::parse_event_t, Json &) {
        if (depth > DEEPEST) {
            throw host::Failed("option", "the question is nested too deeply", "send one JSON object a line");
        }
        return true;
    };
    Json question;
    try {
        question = Json::parse(line, shallow);
    } catch (const Json::exception &) {
        throw host::Failed("option", "the question is no JSON", "send one JSON object a line, in UTF-8");
    }
    if (!question.is_object()) {
        throw host::Failed("option", "the question is no object", "send one JSON object a line");
    }
    return question;
}

int64_t number_of(const Json & question, const char * key, int64_t least, int64_t most) {
    const auto found = question.find(key);
    const bool whole = found != question.end() && found->is_number_integer();
    const bool huge = whole && found->is_number_unsigned() && found->get<uint64_t>() > uint64_t(INT64_MAX);
    if (!whole || huge || found->get<int64_t>() < least || found->get<int64_t>() > most) {
        throw host::Failed("option", std::string("'") + key + "' is no whole number from " + std::to_string(least) + " to " + std::to_string(most),
                           "give one");
    }
    return found->get<int64_t>();
}

bool flag_of(const Json & question, const char * key) {
    const auto found = question.find(key);
    if (found == question.end()) {
        return false;
    }
    if (!found->is_boolean()) {
        throw host::Failed("option", std::string("'") + key + "' is neither true nor false", "give one of them");
    }
    return found->get<bool>();
}

std::string text_of(const Json & question) {
    const auto found = question.find("text");
    if (found == question.end() || !found->is_string()) {
        throw host::Failed("option", "'text' is no text", "give a string");
    }
    return found->get<std::string>();
}

class Runner {
public:
    explicit Runner(const Options & options) : options_(options), model_(options) {}

    void greet(int64_t started) {
        const llama_token begin = llama_vocab_bos(model_.vocab);
        Json ready = {
            {"runner", "1"}, {"llama.cpp", llama_version()}, {"arch", model_.metadata("general.architecture")},
            {"parameters", model_.parameters()}, {"vocab", model_.size}, {"context", model_.context()},
            {"trained", model_.trained()}, {"bos", begin < 0 ? Json() : Json(begin)}, {"eos", model_.ends},
            {"threads", model_.threads}, {"kv", model_.kv()}, {"load_ns", host::now_ns() - started}, {"memory", host::memory()},
        };
        if (model_.foretold() > 0) {
            ready["foretold"] = model_.foretold();
        }
        say({{"ready", ready}});
    }

    // Whether to go on.
    bool answer(const std::string & line, int64_t read_at) {
        const Json question = parsed(line);
        const std::string op = question.value("op", Json()).is_string() ? question["op"].get<std::string>() : "";
        if (op == "quit") {
            return false;
        }
        if (op == "generate") {
            generate(question, read_at);
        } else if (op == "score") {
            score(question);
        } else if (op == "logits") {
            logits(question);
        } else if (op == "tokenize") {
            say({{"ids", model_.tokenize(text_of(question), false)}});
        } else if (op == "rates") {
            measure_rates(question);
        } else if (op == "memory") {
            say({{"memory", host::memory_with_pss()}});
        } else {
            throw host::Failed("option", "'op' is unknown", "one of generate, score, logits, tokenize, rates, memory, quit");
        }
        return true;
    }

private:
    Tokens ids_of(const Json & question, const char * key) const {
        const auto found = question.find(key);
        if (found == question.end() || !found->is_array()) {
            throw host::Failed("option", std::string("'") + key + "' is no list of ids", "give one");
        }
        Tokens ids;
        ids.reserve(found->size());
        for (const Json & id : *found) {
            const bool known = id.is_number_integer() && !(id.is_number_unsigned() && id.get<uint64_t>() > uint64_t(INT32_MAX));
            if (!known || id.get<int64_t>() < 0 || id.get<int64_t>() >= model_.size) {
                throw host::Failed("option", "an id is not in the vocabulary", "give ids from 0 to " + std::to_string(model_.size - 1));
            }
            ids.push_back(id.get<llama_token>());
        }
        return ids;
    }

    void require_room(int64_t needed) const {
        if (needed > model_.context()) {
            throw host::Failed("option", "the question needs " + std::to_string(needed) + " positions, the context has " + std::to_string(model_.context()),
                               "shorten it, or raise --context");
        }
    }

    void generate(const Json & question, int64_t read_at) {
        const bool by_text = question.contains("text");
        if (by_text && question.contains("ids")) {
            throw host::Failed("option", "both 'ids' and 'text' are given", "give one of them");
        }
        const Tokens prompt = by_text ? model_.tokenize(text_of(question), true) : ids_of(question, "ids");
        if (prompt.empty()) {
            throw host::Failed("option", "there is nothing to go on from", "give at least one id");
        }
        const int64_t most = number_of(question, "max_tokens", 1, INT32_MAX);
        const bool ignore_end = flag_of(question, "ignore_end"), stream = flag_of(question, "stream");
        const Tokens ends = question.contains("ends") ? ids_of(question, "ends") : model_.ends;
        require_room(int64_t(prompt.size()) + most);

        Tokens made;
        std::vector<int64_t> arrived;
        Text text;
        std::string whole, finish = "length";
        model_.feed(prompt, flag_of(question, "reuse"));
        while (true) {
            const llama_token id = model_.best(model_.logits(-1));
            const int64_t at = host::now_ns() - read_at;
            if (!ignore_end && std::find(ends.begin(), ends.end(), id) != ends.end()) {
                finish = "stop";
                break;
            }
            made.push_back(id);
            arrived.push_back(at);
            const std::string ready = text.add(model_.piece(id));
            whole += ready;
            if (stream) {
                say({{"token", id}, {"text", ready}, {"ns", at}});
            }
            if (int64_t(made.size()) == most) {
                break;
            }
            model_.step(id);
        }
        whole += text.rest();
        say({{"done", {{"ids", made}, {"text", whole}, {"prompt_tokens", prompt.size()}, {"arrived_ns", arrived}, {"finish", finish}, {"memory", host::memory()}}}});
    }

    void score(const Json & question) {
        const Tokens ids = ids_of(question, "ids");
        const auto start = size_t(number_of(question, "start", 1, std::max<int64_t>(1, int64_t(ids.size()))));
        require_room(int64_t(ids.size()));
        std::vector<double> logs;
        bool greedy = true;
        const Tokens before(ids.begin(), ids.empty() ? ids.end() : ids.end() - 1);
        model_.feed(before, start - 1, flag_of(question, "reuse"), [&](size_t first, size_t count) {
            for (size_t row = 0; row < count; row++) {
                const float * values = model_.logits(int(row));
                const llama_token id = ids[first + row + 1], best = model_.best(values);
                double sum = 0;
                for (int32_t other = 0; other < model_.size; other++) {
                    sum += std::exp(values[other] - values[best]);
                }
                logs.push_back(double(values[id]) - double(values[best]) - std::log(sum));
                greedy = greedy && id == best;
            }
        });
        say({{"score", {{"logs", logs}, {"greedy", greedy}}}});
    }

    void logits(const Json & question) {
        const Tokens ids = ids_of(question, "ids");
        const auto top = size_t(number_of(question, "top", 1, model_.size));
        if (ids.empty()) {
            throw host::Failed("option", "there is nothing to go on from", "give at least one id");
        }
        require_room(int64_t(ids.size()));
        model_.feed(ids, flag_of(question, "reuse"));
        const float * values = model_.logits(-1);
        Tokens order(size_t(model_.size));
        for (int32_t id = 0; id < model_.size; id++) {
            order[size_t(id)] = id;
        }
        std::partial_sort(order.begin(), order.begin() + long(top), order.end(), [&](llama_token one, llama_token other) {
            return values[one] != values[other] ? values[one] > values[other] : one < other;
        });
        Json pairs = Json::array();
        for (size_t rank = 0; rank < top; rank++) {
            pairs.push_back({order[rank], values[order[rank]]});
        }
        say({{"logits", pairs}});
    }

    void measure_rates(const Json & question) {
        const auto found = question.find("seconds");
        if (found == question.end() || !found->is_number() || !(found->get<double>() > 0) || found->get<double>() > 600) {
            throw host::Failed("option", "'seconds' is no number above 0, at most 600", "give one");
        }
        const double each = found->get<double>() / 3;
        const size_t wanted = options_.memory_limit > 0 ? std::min<size_t>(128u << 20, room_left() / 3) : 128u << 20;
        if (wanted < (32u << 20)) {
            throw host::Failed("memory", "the limit leaves no room to measure the rates", "raise --memory-limit");
        }
        double copied, read;
        {
            rates::Areas areas(model_.threads, wanted);
            copied = rates::per_second(model_.threads, each, [&](int thread) { return areas.copy(thread); });
            read = rates::per_second(model_.threads, each, [&](int thread) { return areas.read(thread); });
        }
        const bool half = std::string(model_.kv()) == "f16";
        const double operations = rates::matrix(model_.pool(), model_.threads, half, each);
        say({{"rates", {{"copy_bytes_per_second", copied}, {"read_bytes_per_second", read}, {"matrix_operations_per_second", operations}}}});
    }

    uint64_t room_left() const {
        const uint64_t used = host::memory()["VmRSS"];
        return used < options_.memory_limit ? options_.memory_limit - used : 0;
    }

    Options options_;
    Model model_;
};

int64_t number_option(const std::string & name, const std::string & text, int64_t most) {
    const bool digits = !text.empty() && text.size() < 19 && text.find_first_not_of("0123456789") == std::string::npos;
    const int64_t value = digits ? std::strtoll(text.c_str(), nullptr, 10) : -1;
    if (value < 0 || value > most) {
        throw host::Failed("option", name + " is '" + text + "'", "give a whole number from 0 to " + std::to_string(most));
    }
    return value;
}

Options options_from(int count, char ** words) {
    Options options;
    for (int index = 1; index < count; index++) {
        const std::string name = words[index];
        if (name == "--mmap") {
            options.mmap = true;
        } else if (name == "--flash") {
            options.flash = true;
        } else if (index + 1 == count) {
            throw host::Failed("option", name + " is unknown or lacks its value", "see the head of runner.cpp");
        } else {
            const std::string value = words[++index];
            if (name == "--model") {
                options.model = value;
            } else if (name == "--context") {
                options.context = number_option(name, value, 1 << 24);
            } else if (name == "--threads") {
                options.threads = number_option(name, value, 512);
            } else if (name == "--memory-limit") {
                options.memory_limit = uint64_t(number_option(name, value, INT64_MAX));
            } else if (name == "--batch") {
                options.batch = number_option(name, value, 4096);
            } else if (name == "--kv" && (value == "auto" || value == "f16" || value == "f32")) {
                options.kv = value;
            } else {
                throw host::Failed("option", name + " " + value + " is unknown", "see the head of runner.cpp");
            }
        }
    }
    if (options.model.empty() || options.context == 0 || options.batch < Model::OUTPUTS) {
        throw host::Failed("option", "--model, or a --context of at least 1, or a --batch of at least 32 is missing", "give it");
    }
    return options;
}

// Stdout is for the protocol alone; what libraries print there goes to stderr.
void take_stdout() {
    host::protocol = dup(STDOUT_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
}

int run(int count, char ** words) {
    const int64_t started = host::now_ns();
    std::unique_ptr<Runner> runner;
    try {
        runner = std::make_unique<Runner>(options_from(count, words));
        runner->greet(started);
    } catch (const host::Failed & failed) {
        say_failed(failed);
        return failed.kind == "memory" || failed.kind == "internal" ? host::NO_MEMORY : host::BAD_INPUT;
    } catch (const std::bad_alloc &) {
        say_failed({"memory", "the system gives no more memory", "lower --context, or make the model smaller"});
        return host::NO_MEMORY;
    }
    host::loading = false;
    Lines lines;
    std::string line;
    for (bool whole = true; lines.next(line, whole);) {
        const int64_t read_at = host::now_ns();
        complained.clear();
        try {
            if (!whole) {
                throw host::Failed("option", "the line is longer than " + std::to_string(LONGEST_LINE) + " bytes", "send less at once");
            }
            if (line.find_first_not_of(" \t\r") != std::string::npos && !runner->answer(line, read_at)) {
                return host::GOOD;
            }
        } catch (const host::Failed & failed) {
            say_failed(failed);
        } catch (const std::bad_alloc &) {
            say_failed({"memory", "the system gives no more memory", "ask for less at once"});
        } catch (const std::exception & error) {
            say_failed({"internal", error.what(), "report it"});
        }
    }
    return host::GOOD;
}

}  // namespace

int main(int count, char ** words) {
    take_stdout();
    host::speak_before_dying();
    llama_log_set(hear_llama, nullptr);
    llama_backend_init();
    const int code = run(count, words);
    std::fflush(stderr);
    _exit(code);  // threads that still wait for work are not joined
}
