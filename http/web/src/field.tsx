// One labelled input, with its hint and its error tied to it for screen readers.
import type { InputHTMLAttributes } from "preact";
import { useId } from "preact/hooks";

interface FieldProps {
  label: string;
  value: string;
  onInput: (value: string) => void;
  type?: "text" | "password" | "number";
  hint?: string;
  error?: string | undefined;
  autocomplete?: string;
  autofocus?: boolean;
  min?: number;
  max?: number;
  inputMode?: "numeric" | "text";
}

export function Field({ label, value, onInput, type = "text", hint, error, ...rest }: FieldProps) {
  const id = useId();
  const note = error ?? hint;
  // One literal type per input is what the typings want; ours is chosen at run time.
  const attributes = { type, ...rest } as InputHTMLAttributes<HTMLInputElement>;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id} {...attributes} value={value} required aria-invalid={error !== undefined}
        aria-describedby={note === undefined ? undefined : `${id}-note`}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      {note !== undefined && <p id={`${id}-note`} class={error === undefined ? "hint" : "error"}>{note}</p>}
    </div>
  );
}
